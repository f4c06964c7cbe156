//! Transaction admission, ordering, replacement and eviction
