//! An answer of either listener, read whole, with the checks that many tests share.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Sends `request` and reads the whole answer.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::try_of(request).await.expect("an answer")
    }

    /// The same where a failure is what the test looks for.
    pub(crate) async fn try_of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, body: response.text().await? })
    }

    /// The value of a header; `""` where it is missing or no text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("no JSON ({why}): {self:?}"))
    }

    /// The body as JSON, of an answer that must be 2xx.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "should be 2xx: {self:?}");
        self.json()
    }

    /// The body of an answer that must be this problem, complete as the API promises it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "expected {code}: {self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["type"], format!("urn:furt:problem:{code}"), "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{self:?}");
        body
    }

    /// The JSON pointers of a 422, sorted.
    #[track_caller]
    pub(crate) fn invalid_fields(&self) -> Vec<String> {
        let body = self.problem(422, "invalid-fields");
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {self:?}"));
        assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|why| !why.is_empty())), "{self:?}");
        let mut pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
        pointers.sort();
        pointers
    }

    /// Seconds of `Retry-After`, of an answer that must have it.
    #[track_caller]
    pub(crate) fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().unwrap_or_else(|_| panic!("no Retry-After in seconds: {self:?}"))
    }
}
