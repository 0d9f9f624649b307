"""Moving data in, out and across stores."""
