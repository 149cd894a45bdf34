//! What is counted of answers that furt compresses. Each counter is shown once it is used.

use prometheus::IntCounterVec;

use super::exporter::{Exporter, MetricsError};
use crate::config::ContentCoding;

/// Answers that furt compresses.
pub struct CompressionMetrics {
    answers: IntCounterVec,
    bytes: IntCounterVec,
    skipped: IntCounterVec,
}

impl CompressionMetrics {
    pub(super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        Ok(Self {
            answers: exporter.counter_vec(
                "furt_compressed_answers_total",
                "Answers that furt compressed, by the encoding",
                "encoding",
            )?,
            bytes: exporter.counter_vec(
                "furt_compressed_bytes_total",
                "Bytes of such answers: as services sent them, and as clients got them",
                "direction",
            )?,
            skipped: exporter.counter_vec(
                "furt_compression_skipped_total",
                "Answers that were to be compressed and were sent as they are, by the reason",
                "reason",
            )?,
        })
    }

    /// An answer is sent in that coding.
    pub fn answer_began(&self, coding: ContentCoding) {
        self.answers.with_label_values(&[coding.as_str()]).inc();
    }

    /// An answer was to be compressed, and there was no memory for it.
    pub fn found_no_memory(&self) {
        self.skipped.with_label_values(&["memory"]).inc();
    }

    /// One ended, or broke off, after so many bytes of the service's, which became so many.
    pub fn passed(&self, read: usize, written: usize) {
        let add = |direction, bytes| self.bytes.with_label_values(&[direction]).inc_by(bytes as u64);
        add("in", read);
        add("out", written);
    }
}
