//! Which coding of an answer its client wants, of those that furt has (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::config::ContentCoding;
use crate::proxy::accept::thousandths;

/// What a client says of codings, each in thousandths; `None`: nothing.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    /// Of `*`: all that are not named.
    rest: Option<u16>,
}

/// The one of `offered` with the highest weight, and the first of those with the same; `None`: the answer stays as it is. What
/// cannot be read is as if it were not there. Of a coding that is named twice the lower weight holds.
pub(super) fn choose(headers: &HeaderMap, offered: &[ContentCoding]) -> Option<ContentCoding> {
    let mut weights = Weights::default();
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    for (name, weight) in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).filter_map(member) {
        weights.note(name, weight);
    }
    let identity = weights.identity.or(weights.rest).unwrap_or_default();
    let mut best = None;
    for coding in offered {
        let weight = weights.of(*coding).or(weights.rest).unwrap_or_default();
        if weight > 0 && weight >= identity && best.is_none_or(|(_, most)| weight > most) {
            best = Some((*coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

impl Weights {
    fn note(&mut self, name: &[u8], weight: u16) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let said = match () {
            () if is("zstd") => &mut self.zstd,
            () if is("br") => &mut self.brotli,
            // The same coding (RFC 9110 §8.4.1.3).
            () if is("gzip") || is("x-gzip") => &mut self.gzip,
            () if is("identity") => &mut self.identity,
            () if is("*") => &mut self.rest,
            () => return,
        };
        *said = Some(said.map_or(weight, |before| before.min(weight)));
    }

    fn of(&self, coding: ContentCoding) -> Option<u16> {
        match coding {
            ContentCoding::Zstd => self.zstd,
            ContentCoding::Brotli => self.brotli,
            ContentCoding::Gzip => self.gzip,
        }
    }
}

/// A coding and its weight; `None`: it cannot be read.
fn member(text: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let weight = match (parts.next(), parts.next()) {
        (None, _) => 1000,
        (Some([b'q' | b'Q', b'=', weight @ ..]), None) => thousandths(weight)?,
        (Some(_), _) => return None,
    };
    Some((name, weight))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ALL: [ContentCoding; 3] = ContentCoding::ALL;

    fn chosen(lines: &[String], offered: &[ContentCoding]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().unwrap());
        }
        choose(&headers, offered).map(ContentCoding::as_str)
    }

    #[test]
    fn the_client_s_weights_come_first_and_then_the_order_of_the_operator() {
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["identity"], None),
            (&["deflate, compress"], None),
            (&["gzip"], Some("gzip")),
            (&["x-gzip"], Some("gzip")),
            (&["GZip"], Some("gzip")),
            (&["gzip, deflate, br, zstd"], Some("zstd")),
            (&["gzip, deflate, br"], Some("br")),
            (&["gzip;q=1.0, br;q=0.9"], Some("gzip")),
            (&["gzip", "br"], Some("br")),
            (&["*"], Some("zstd")),
            (&["*, zstd;q=0"], Some("br")),
            (&["*;q=0.1, gzip;q=0.2"], Some("gzip")),
            (&["*;q=0"], None),
            (&["*;q=0, gzip"], Some("gzip")),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000"], None),
            (&["gzip;q=0.001"], Some("gzip")),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some("gzip")),
            (&["identity;q=0.4, gzip;q=0.5"], Some("gzip")),
            (&["identity;q=0, gzip;q=0.1"], Some("gzip")),
            (&["identity;q=0"], None),
            (&["*;q=0.7, gzip;q=0.5, identity;q=0.6, br;q=0, zstd;q=0"], None),
            // The star is for what is not named, and that is furt's identity as well.
            (&["*;q=0.7, gzip;q=0.5, br;q=0, zstd;q=0"], None),
            (&["gzip;q=0.5, gzip"], Some("gzip")),
            (&["gzip;q=0, gzip"], None),
            (&["gzip, x-gzip;q=0"], None),
            (&["br;q=1.1, gzip"], Some("gzip")),
            (&["br;level=4, gzip"], Some("gzip")),
            (&["br;q=1;level=4, gzip"], Some("gzip")),
            (&["br q=1, gzip"], Some("gzip")),
            (&["br;q=, gzip;q=.5, zstd;q=0.1234"], None),
            (&[" br ; q=0.5 ,, ;q=1, gzip ;Q=0.4"], Some("br")),
            (&["brotli, gzipx, xgzip"], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(chosen(&lines, &ALL), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_offered_is_never_chosen() {
        use ContentCoding::{Brotli, Gzip, Zstd};
        let both = ["br, gzip, zstd".to_owned()];
        assert_eq!(chosen(&both, &[Gzip]), Some("gzip"));
        assert_eq!(chosen(&both, &[Gzip, Zstd, Brotli]), Some("gzip"));
        assert_eq!(chosen(&["*".to_owned()], &[Brotli]), Some("br"));
        assert_eq!(chosen(&["zstd".to_owned()], &[Brotli, Gzip]), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, http::HeaderValue::from_bytes(b"\xff\xfe;q=1, gzip;q=0.5, br;q=\xff").unwrap());
        assert_eq!(choose(&headers, &ALL), Some(ContentCoding::Gzip));
    }

    /// By the words of the standard: all weights in a map, then the offers in order.
    fn naive(said: &[(&str, u16)], offered: &[ContentCoding]) -> Option<&'static str> {
        let mut map: HashMap<&str, u16> = HashMap::new();
        for (name, weight) in said {
            let name = if *name == "x-gzip" { "gzip" } else { name };
            let lowest = map.get(name).copied().unwrap_or(u16::MAX).min(*weight);
            map.insert(name, lowest);
        }
        let weight = |name: &str| map.get(name).or(map.get("*")).copied().unwrap_or(0);
        let most = offered.iter().map(|coding| weight(coding.as_str())).max()?;
        let first = offered.iter().find(|coding| weight(coding.as_str()) == most)?;
        (most > 0 && most >= weight("identity")).then_some(first.as_str())
    }

    #[test]
    fn whatever_a_client_says_the_naive_reading_says_the_same() {
        let mut random = fastrand::Rng::with_seed(78);
        let names = ["zstd", "br", "gzip", "x-gzip", "identity", "*", "deflate"];
        let broken = ["", "gzip;q", "br;q=2", "zstd;a=b", "identity;q=0.0000", "*;q=-1", "gzip;q=0.5;q=0.6"];
        let mut outcomes = HashMap::new();
        for _ in 0..20_000 {
            let mut offered = ALL.to_vec();
            random.shuffle(&mut offered);
            offered.truncate(random.usize(1..=3));
            let (mut said, mut lines) = (Vec::new(), vec![String::new()]);
            for _ in 0..random.usize(0..6) {
                let member = if random.u8(0..5) == 0 {
                    random.choice(broken).unwrap().to_owned()
                } else {
                    let name = random.choice(names).unwrap();
                    let weight = *random.choice(&[0, 1, 500, 500, 900, 1000]).unwrap();
                    said.push((name, weight));
                    let name = if random.bool() { name.to_ascii_uppercase() } else { name.to_owned() };
                    match weight {
                        1000 if random.bool() => name,
                        1000 => format!("{name} ; q=1.000"),
                        _ => format!("{name};Q=0.{weight:03}"),
                    }
                };
                if random.u8(0..4) == 0 {
                    lines.push(String::new());
                }
                let line = lines.last_mut().unwrap();
                let comma = if line.is_empty() { "" } else { " ," };
                *line += &format!("{comma}{member}");
            }
            let expected = naive(&said, &offered);
            assert_eq!(chosen(&lines, &offered), expected, "{lines:?} {offered:?}");
            *outcomes.entry(expected).or_insert(0) += 1;
        }
        assert!(outcomes.len() == 4 && outcomes.values().all(|count| *count > 500), "{outcomes:?}");
    }
}
