"""The endpoints, one module a resource. Each is typed inputs, one verb, one view."""
