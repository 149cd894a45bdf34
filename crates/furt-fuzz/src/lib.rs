//! What the fuzz targets assert: one function a target, over whatever bytes there are.
//!
//! `fuzz/` wraps each for the engine (`make fuzz`); the tests below call each with every file of its committed corpus,
//! without an engine. No furt that runs has it. A finding is a panic, with what was read and what was expected.

mod acme_answers;
mod addresses;
mod amqp_frames;
mod cluster_messages;
mod config;
mod connection_string;
mod etcd_records;
mod etcd_v2;
mod import;
#[path = "../../furt-core/src/routing/naive.rs"]
pub mod naive;
mod proxy_header;
mod registration;
mod routes;
mod store_file;

pub use acme_answers::acme_answers;
pub use addresses::addresses;
pub use amqp_frames::amqp_frames;
pub use cluster_messages::cluster_messages;
pub use config::config;
pub use connection_string::connection_string;
pub use etcd_records::etcd_records;
pub use etcd_v2::etcd_v2;
pub use import::import;
pub use proxy_header::proxy_header;
pub use registration::registration;
pub use routes::routes;
pub use store_file::store_file;

/// The engine's own hook ends the process at every panic, also at one that furt catches (`store` does, around redb).
/// With this one in its place, what is caught passes, and what is not ends the process where the engine catches it.
#[expect(clippy::print_stderr, reason = "there is no log, and the finding must be told")]
pub fn let_caught_panics_pass() {
    std::panic::set_hook(Box::new(|panic| {
        // Those of redb are what `store` expects of a damaged file: thousands a second.
        let Some(at) = panic.location().filter(|at| !at.file().contains("/redb-")) else { return };
        eprintln!("{at}: {}", panic.payload_as_str().unwrap_or("a panic"));
    }));
}

/// As text: what is no UTF-8 would be refused before it comes to what a target is about.
fn lines(data: &[u8]) -> impl Iterator<Item = &str> {
    /// Beyond them an input is only slower, not different.
    const MOST: usize = 64;
    data.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).take(MOST)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Calls a target with each input of its corpus, in the order of their names.
    #[expect(clippy::print_stdout, reason = "the input that a failure is of, shown with it")]
    fn replay(target: &str, body: fn(&[u8])) {
        /// What a corpus may have, so that the tests stay fast and the repository small.
        const MOST_FILES: usize = 200;
        const MOST_BYTES: usize = 200 * 1024;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut bytes = 0;
        for path in &paths {
            let input = std::fs::read(path).unwrap();
            bytes += input.len();
            println!("{}", path.display());
            body(&input);
        }
        assert!(!paths.is_empty() && paths.len() <= MOST_FILES, "{} inputs", paths.len());
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn every_kept_input_of_acme_answers_holds() {
        replay("acme_answers", super::acme_answers);
    }

    #[test]
    fn every_kept_input_of_addresses_holds() {
        replay("addresses", super::addresses);
    }

    #[test]
    fn every_kept_input_of_amqp_frames_holds() {
        replay("amqp_frames", super::amqp_frames);
    }

    #[test]
    fn every_kept_input_of_cluster_messages_holds() {
        replay("cluster_messages", super::cluster_messages);
    }

    #[test]
    fn every_kept_input_of_config_holds() {
        replay("config", super::config);
    }

    #[test]
    fn every_kept_input_of_connection_string_holds() {
        replay("connection_string", super::connection_string);
    }

    #[test]
    fn every_kept_input_of_etcd_records_holds() {
        replay("etcd_records", super::etcd_records);
    }

    #[test]
    fn every_kept_input_of_etcd_v2_holds() {
        replay("etcd_v2", super::etcd_v2);
    }

    #[test]
    fn every_kept_input_of_import_holds() {
        replay("import", super::import);
    }

    #[test]
    fn every_kept_input_of_proxy_header_holds() {
        replay("proxy_header", super::proxy_header);
    }

    #[test]
    fn every_kept_input_of_registration_holds() {
        replay("registration", super::registration);
    }

    #[test]
    fn every_kept_input_of_routes_holds() {
        replay("routes", super::routes);
    }

    #[test]
    fn every_kept_input_of_store_file_holds() {
        replay("store_file", super::store_file);
    }
}
