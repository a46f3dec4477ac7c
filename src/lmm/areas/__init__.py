"""Small areas: means of areas with few observations, from a model that borrows strength from the others."""
