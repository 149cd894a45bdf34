//! Certificates as files: what is refused and why, and which one is in force while they change.
