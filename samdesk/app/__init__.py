"""What the program does: workspace, tools, session, commands, settings, jobs. Must not know Qt."""
