//! The header of a request's copy: that of the request as its own service gets it, without what could be used in the name of the
//! client, and marked as a copy.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Version};
use pingora::Result;
use pingora::http::RequestHeader;

use crate::header_name::{Folding, begins_as, reads_as};
use crate::proxy::duplex;

/// The mark, as it is written.
const SET_MARK: &str = "X-Furt-Mirror";

/// What says who the client is, as services may read it.
const CREDENTIALS: [&str; 3] = ["proxy-authorization", "x-api-key", "x-client-cert-sha256"];
/// What headers about the client's certificate begin with: those of RFC 9440, and those of Envoy, which a trusted proxy may send.
const CERTIFICATES: [&str; 2] = ["client-cert", "x-forwarded-client-cert"];

/// What is for the hop to the request's own service.
const FOR_ONE_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The header of the copy, whose body is framed later; `request`: as it goes to its own service.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn copy_of(request: &RequestHeader) -> Result<RequestHeader> {
    let mut copy = request.clone();
    // What is known of the client's connection ends with the request.
    copy.extensions_mut().clear();
    let removed: Vec<HeaderName> = copy.headers.keys().filter(|name| is_removed(name)).cloned().collect();
    for name in removed {
        copy.remove_header(&name);
    }
    copy.insert_header(SET_MARK, "1")?;
    Ok(copy)
}

fn is_removed(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == AUTHORIZATION
        || *name == COOKIE
        || FOR_ONE_HOP.contains(name)
        || CREDENTIALS.iter().any(|own| reads_as(own, text, Folding::EverySign))
        || CERTIFICATES.iter().any(|start| begins_as(text, start, Folding::EverySign))
}

/// Frames a copy for its connection. `length`: of the body, in bytes; `None`: it has none.
///
/// # Errors
/// Of `Host` no url can be made, which HTTP/2 needs.
pub(super) fn frame(copy: &mut RequestHeader, length: Option<usize>, is_http2: bool, is_tls: bool) -> Result<()> {
    if let Some(length) = length {
        copy.insert_header(CONTENT_LENGTH, length)?;
    }
    if is_http2 {
        copy.set_version(Version::HTTP_2);
        duplex::address(copy, is_tls)
    } else {
        copy.set_version(Version::HTTP_11);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_copy_has_no_credentials_and_is_marked() {
        let mut request = RequestHeader::build("POST", b"/a?b", None).unwrap();
        for name in [
            "Host",
            "Authorization",
            "Proxy-Authorization",
            "Proxy_Authorization",
            "Cookie",
            "X-API-Key",
            "X_Api_Key",
            "X-API-Key-Name",
            "X-Auth-Subject",
            "Client-Cert",
            "Client-Cert-Chain",
            "Client_Cert",
            "X-Client-Cert-Sha256",
            "X-Forwarded-Client-Cert",
            "X_Forwarded_Client_Cert",
            "X-Forwarded-Client-Cert-Chain",
            "X-Forwarded-Client",
            "X-Client",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "X-Furt-Mirror",
            "Accept",
        ] {
            request.append_header(name, "a").unwrap();
        }
        request.extensions_mut().insert(1_u8);
        let copy = copy_of(&request).unwrap();
        let left: BTreeSet<&str> = copy.headers.keys().map(HeaderName::as_str).collect();
        let expected =
            ["host", "x-api-key-name", "x-auth-subject", "x-client", "x-forwarded-client", "x-furt-mirror", "accept"];
        assert_eq!(left, BTreeSet::from(expected));
        assert_eq!(copy.headers.get_all("x-furt-mirror").iter().collect::<Vec<_>>(), ["1"], "whatever the client said");
        assert_eq!((copy.method.as_str(), copy.raw_path()), ("POST", &b"/a?b"[..]));
        assert!(copy.extensions.is_empty());
    }

    #[test]
    fn a_copy_is_framed_for_the_protocol_of_its_instance() {
        for (is_http2, is_tls, version, target) in [
            (false, false, Version::HTTP_11, "/a?b"),
            (true, false, Version::HTTP_2, "http://shop.example/a?b"),
            (true, true, Version::HTTP_2, "https://shop.example/a?b"),
        ] {
            let mut request = RequestHeader::build("POST", b"/a?b", None).unwrap();
            request.insert_header("Host", "shop.example").unwrap();
            request.insert_header("Content-Length", "7").unwrap();
            request.set_version(Version::HTTP_2);
            frame(&mut request, Some(5), is_http2, is_tls).unwrap();
            assert_eq!((request.version, request.uri.to_string()), (version, target.to_owned()));
            assert_eq!(request.headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["5"]);
            assert_eq!(request.headers.contains_key("host"), !is_http2);
        }
    }
}
