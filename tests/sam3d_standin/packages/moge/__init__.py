"""A stand-in of MoGe: a model that must be in the cache."""
