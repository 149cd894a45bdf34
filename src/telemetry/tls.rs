//! What is counted of TLS on the public listener, where there is some: handshakes, and how each certificate is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;

/// Certificates with lines of their own. More would be lines that nobody reads.
const MOST_SHOWN: usize = 500;

/// TLS on the public listener.
pub struct TlsMetrics {
    handshakes: IntCounterVec,
    is_current: IntGaugeVec,
    not_after: IntGaugeVec,
    rules: IntGaugeVec,
    orders: IntCounterVec,
    shown: Mutex<BTreeSet<String>>,
    shown_rules: Mutex<BTreeSet<String>>,
    issues: Arc<Issues>,
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A connection under TLS; which version, and whether a session was resumed.
    Done {
        /// `1.2` or `1.3`.
        version: &'static str,
        /// Whether the client had a ticket that was good.
        resumed: bool,
    },
    /// Client and furt have nothing in common, or the client speaks neither TLS nor HTTP.
    Failed,
    /// The client sent a request of HTTP without TLS.
    PlainHttp,
    /// The client left.
    Closed,
    /// It took too long.
    TimedOut,
    /// The client asked for a name without a certificate.
    UnknownName,
    /// The client showed no certificate where it must, or one that is not accepted.
    ClientCertificate,
    /// An authority looked for the answer to a challenge.
    Challenge,
}

/// How an order for a certificate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderOutcome {
    /// There is a certificate.
    Issued,
    /// The authority did not find furt at the name.
    ChallengeFailed,
    /// The authority wants fewer orders.
    RateLimited,
    /// The authority does not answer.
    Unreachable,
    /// The authority refused it, or sent what cannot be used.
    Failed,
}

/// How a certificate in force is.
#[derive(Debug)]
pub struct CertificateSample {
    /// The first of its names.
    pub name: String,
    /// Its last second, in Unix time; `None`: there is none yet.
    pub not_after: Option<i64>,
    /// Why it is not what it should be.
    pub fault: Option<String>,
}

/// How a `[[client_auth]]` in force is.
#[derive(Debug)]
pub struct ClientAuthSample {
    /// The first of its hosts.
    pub host: String,
    /// Why it is not what it should be.
    pub fault: Option<String>,
}

impl TlsMetrics {
    pub(super) fn try_new(exporter: &Exporter, issues: Arc<Issues>) -> Result<Self, MetricsError> {
        Ok(Self {
            handshakes: exporter.counter_by(
                "furt_tls_handshakes_total",
                "Handshakes with clients, by how they ended",
                &["outcome", "version", "resumed"],
            )?,
            is_current: exporter.gauge_by(
                "furt_certificate_current",
                "1: the certificate is the one of its file and still good; 0: the file cannot be used, or it has ended",
                &["name"],
            )?,
            not_after: exporter.gauge_by(
                "furt_certificate_not_after_timestamp_seconds",
                "When the certificate that is shown ends",
                &["name"],
            )?,
            rules: exporter.gauge_by(
                "furt_client_auth_current",
                "1: a [[client_auth]] is as its files say; 0: they cannot be used, or a list of what is revoked is out of date",
                &["host"],
            )?,
            orders: exporter.counter_by(
                "furt_acme_orders_total",
                "Orders for certificates at the authority of [acme], by how they ended",
                &["outcome"],
            )?,
            shown: Mutex::default(),
            shown_rules: Mutex::default(),
            issues,
        })
    }

    /// For handshakes that are nobody's: counted, and shown nowhere.
    ///
    /// # Errors
    /// None in practice: the names are fixed and good.
    pub fn unexposed() -> Result<Self, MetricsError> {
        Self::try_new(&Exporter::default(), Arc::default())
    }

    /// A handshake has ended.
    pub fn handshake(&self, outcome: HandshakeOutcome) {
        let labels = match outcome {
            HandshakeOutcome::Done { version, resumed: true } => ["done", version, "true"],
            HandshakeOutcome::Done { version, resumed: false } => ["done", version, "false"],
            HandshakeOutcome::Failed => ["failed", "none", "false"],
            HandshakeOutcome::PlainHttp => ["plain-http", "none", "false"],
            HandshakeOutcome::Closed => ["closed", "none", "false"],
            HandshakeOutcome::TimedOut => ["timeout", "none", "false"],
            HandshakeOutcome::UnknownName => ["unknown-name", "none", "false"],
            HandshakeOutcome::ClientCertificate => ["client-certificate", "none", "false"],
            HandshakeOutcome::Challenge => ["challenge", "none", "false"],
        };
        self.handshakes.with_label_values(&labels).inc();
    }

    /// An order for a certificate has ended.
    pub fn order(&self, outcome: OrderOutcome) {
        let label = match outcome {
            OrderOutcome::Issued => "issued",
            OrderOutcome::ChallengeFailed => "challenge-failed",
            OrderOutcome::RateLimited => "rate-limited",
            OrderOutcome::Unreachable => "unreachable",
            OrderOutcome::Failed => "failed",
        };
        self.orders.with_label_values(&[label]).inc();
    }

    /// These are in force, and no others. Of several certificates with one name the first is shown. `others`: what is wrong with files
    /// that have no lines.
    pub fn set_in_force(&self, certificates: &[CertificateSample], rules: &[ClientAuthSample], others: &[String]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeSet::new();
        for one in certificates.iter().take(MOST_SHOWN) {
            if now.insert(one.name.clone()) {
                self.is_current.with_label_values(&[&one.name]).set(i64::from(one.fault.is_none()));
                match one.not_after {
                    Some(end) => self.not_after.with_label_values(&[&one.name]).set(end),
                    // It may have no line.
                    None => _ = self.not_after.remove_label_values(&[&one.name]),
                }
            }
        }
        for gone in shown.difference(&now) {
            // It was shown, so it is there.
            _ = self.is_current.remove_label_values(&[gone]);
            _ = self.not_after.remove_label_values(&[gone]);
        }
        *shown = now;
        self.set_rules(rules);
        let faults = certificates.iter().map(|one| &one.fault).chain(rules.iter().map(|one| &one.fault));
        let faults: Vec<_> = faults.flatten().chain(others).collect();
        self.issues.set_certificates(faults.first().map(|first| match faults.len() {
            1 => (*first).clone(),
            count => format!("{first} (and {} more)", count - 1),
        }));
    }

    fn set_rules(&self, rules: &[ClientAuthSample]) {
        let mut shown = self.shown_rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = &rules[..rules.len().min(MOST_SHOWN)];
        let now: BTreeSet<_> = rules.iter().map(|one| one.host.clone()).collect();
        for one in rules {
            self.rules.with_label_values(&[&one.host]).set(i64::from(one.fault.is_none()));
        }
        for gone in shown.difference(&now) {
            // It was shown, so it is there.
            _ = self.rules.remove_label_values(&[gone]);
        }
        *shown = now;
    }

    /// How many handshakes ended so.
    #[cfg(test)]
    pub fn counted(&self, outcome: &str, version: &str, resumed: &str) -> u64 {
        self.handshakes.with_label_values(&[outcome, version, resumed]).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, not_after: i64, fault: Option<&str>) -> CertificateSample {
        CertificateSample { name: name.to_owned(), not_after: Some(not_after), fault: fault.map(str::to_owned) }
    }

    #[test]
    fn a_certificate_that_goes_takes_its_lines_along_and_a_fault_is_an_issue() {
        let (exporter, issues) = (Exporter::default(), Arc::<Issues>::default());
        let metrics = TlsMetrics::try_new(&exporter, Arc::clone(&issues)).unwrap();
        let shown = || String::from_utf8(exporter.gather(Vec::new()).flatten().collect()).unwrap();
        metrics.set_in_force(
            &[sample("a", 7, None), sample("b", 8, Some("b.pem is gone")), sample("a", 9, None)],
            &[],
            &[],
        );
        assert!(shown().contains("furt_certificate_current{name=\"a\"} 1"), "{}", shown());
        assert!(shown().contains("furt_certificate_current{name=\"b\"} 0"), "{}", shown());
        assert!(shown().contains("furt_certificate_not_after_timestamp_seconds{name=\"a\"} 7"), "{}", shown());
        assert_eq!(issues.list(), ["a certificate is not in order: b.pem is gone"]);
        metrics.set_in_force(&[sample("a", 7, None)], &[], &[]);
        assert!(!shown().contains("\"b\"") && issues.list().is_empty(), "{}", shown());
        let rule = |fault: Option<&str>| ClientAuthSample { host: "a".to_owned(), fault: fault.map(str::to_owned) };
        metrics.set_in_force(&[], &[rule(Some("a.crl is gone"))], &[]);
        assert!(shown().contains("furt_client_auth_current{host=\"a\"} 0"), "{}", shown());
        assert_eq!(issues.list(), ["a certificate is not in order: a.crl is gone"]);
        metrics.set_in_force(&[], &[], &[]);
        assert!(!shown().contains("furt_client_auth_current{") && issues.list().is_empty(), "{}", shown());
        let many: Vec<_> = (0..2 * MOST_SHOWN).map(|number| sample(&number.to_string(), 1, None)).collect();
        metrics.set_in_force(&many, &[], &[]);
        assert_eq!(shown().matches("furt_certificate_current{").count(), MOST_SHOWN);
    }
}
