//! `[[certificates]]`: what the public listener shows under TLS. `tls` reads the files.

use std::path::PathBuf;

use super::earlier::EarlierEntries;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::CertificateConfig;
use crate::config::value::file;

pub(super) const NAME: &str = "certificates";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct CertificateValues {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    staple: Option<PathBuf>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> CertificateValues {
    keys.array(
        NAME,
        "Certificates for `[tls]`, each with its key. The names are those in the certificate. A file that changes is \
         [put in force](edge.md#new-certificates) by itself.",
    );
    CertificateValues {
        cert: keys.required(
            Key {
                name: "certificates.cert",
                default: DefaultValue::required(r#""/etc/furt/tls/a.pem""#),
                range: "a file",
                text: "The certificate in PEM, then those between it and the authority.",
                ..Key::ROW
            },
            file,
        ),
        key: keys.required(
            Key {
                name: "certificates.key",
                default: DefaultValue::required(r#""/etc/furt/tls/a.key""#),
                range: "a file",
                text: "Its private key in PEM, without a password; a file that everybody can read is refused.",
                ..Key::ROW
            },
            file,
        ),
        staple: keys.optional(
            Key {
                name: "certificates.staple",
                default: DefaultValue::absent("none", r#""/etc/furt/tls/a.ocsp""#),
                range: "a file",
                text: "An OCSP answer in DER, sent along to clients that ask for one. furt fetches none.",
                ..Key::ROW
            },
            file,
        ),
    }
}

/// Reads all entries. No file is named as a certificate twice.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>) -> Vec<CertificateConfig> {
    let mut files = EarlierEntries::new(lines);
    entries.into_iter().enumerate().filter_map(|(index, entry)| read_one(entry, index, &mut files)).collect()
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    files: &mut EarlierEntries<'_, PathBuf>,
) -> Option<CertificateConfig> {
    let CertificateValues { cert, key, staple } = visit(&mut entry);
    entry.finish();
    let (cert, key) = (cert?, key?);
    if let Some(line) = files.duplicate(cert.clone(), entry.at("cert")) {
        entry.refuse("cert", format!("\"{}\" is named in line {line} already; must be named once", cert.display()));
    }
    for name in ["cert", "key", "staple"] {
        entry.record_location(name, CertificateConfig::place(index, name));
    }
    Some(CertificateConfig { cert, key, staple })
}
