"""How answers of more than one object are given: pages and their cursors, exports, tables."""
