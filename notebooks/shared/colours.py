"""Colours that can be seen on a white and on a dark page."""

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#3b82f6", "#e8871e", "#2aa568", "#e5484d", "#9b6ddf", "#8a8f98"
