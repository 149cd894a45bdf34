//! Tokens, signed here, against keys: what is good, each thing that is refused, and how keys are fetched and kept.

mod fetching;
mod forging;
mod granting;
mod issuing;
mod keeping;
mod key_sets;
mod restarting;
mod signing;
mod starting;
mod verifying;
