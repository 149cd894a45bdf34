//! What takes minutes, one after the other: `make faults`.

mod chaos;
mod cut_off;
mod described;
mod draining;
mod failover;
mod figures;
mod languages;
mod restored;
mod rolling;
mod scale;
mod swaps;
