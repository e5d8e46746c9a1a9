"""From results to tables, figures and one page: nothing here needs a network, a store is only looked at."""
