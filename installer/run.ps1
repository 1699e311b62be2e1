# Install samdesk into .venv where that is needed, then run it.
#
#   .\installer\run.ps1              open the window
#   .\installer\run.ps1 demo         the main job on sample images
#   .\installer\run.ps1 --help       more
#
# Where Windows does not let scripts run:
#   powershell -ExecutionPolicy Bypass -File installer\run.ps1
#
# Windows PowerShell 5.1 or newer. PowerShell itself takes an unquoted -- away: write '--'.

$bootstrap = Join-Path $PSScriptRoot 'bootstrap.py'

function Test-Program([string] $name) {
    [bool] (Get-Command $name -CommandType Application -ErrorAction SilentlyContinue)
}

function Test-Python([string] $program, [string[]] $options) {
    # the Store's stand-in for Python and versions that are too old complain: not here
    try { & $program @options -I $bootstrap probe *> $null } catch { return $false }
    $LASTEXITCODE -eq 0
}

# Gives out a program and its options: a fitting Python, or nothing
function Find-Python {
    if ($env:SAMDESK_PYTHON) { return $env:SAMDESK_PYTHON }

    # the Python that the environment was made with
    $config = Join-Path (Split-Path -Parent $PSScriptRoot) '.venv\pyvenv.cfg'
    if (Test-Path -LiteralPath $config) {
        $line = Select-String -LiteralPath $config -Encoding UTF8 -Pattern '^executable = (.+)$' |
            Select-Object -First 1
        if ($line) {
            $known = $line.Matches[0].Groups[1].Value.Trim()
            if (Test-Path -LiteralPath $known -PathType Leaf) { return $known }
        }
    }

    if (Test-Program 'py') {
        # only what is listed: asked for a Python that is not there, py may install it
        foreach ($line in @(& py '-0' 2>$null)) {
            if ("$line" -match '-(?:V:)?(3\.\d+)') {
                $option = '-' + $Matches[1]
                if (Test-Python 'py' @($option)) { return 'py', $option }
            }
        }
    }
    foreach ($name in 'python', 'python3') {
        if ((Test-Program $name) -and (Test-Python $name @())) { return $name }
    }
}

$found = @(Find-Python)
if ($found.Count -eq 0) {
    [Console]::Error.WriteLine('samdesk needs a 64-bit (x64) Python 3.11, 3.12, 3.13 or 3.14, and found none.')
    [Console]::Error.WriteLine('Install it: winget install Python.Python.3.13, or the installer from python.org.')
    [Console]::Error.WriteLine('If it is somewhere else, name it: $env:SAMDESK_PYTHON = "C:\path\to\python.exe"')
    exit 1
}
$program = $found[0]
$options = @($found | Select-Object -Skip 1)

# PowerShell has read 10,20 as a list
$arguments = @($args | ForEach-Object { if ($_ -is [array]) { ($_ | ForEach-Object { "$_" }) -join ',' } else { "$_" } })
& $program @options -I $bootstrap run @arguments
exit $LASTEXITCODE
