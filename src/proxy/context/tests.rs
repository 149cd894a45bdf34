//! What a panic in a hook costs: a real Pingora session over real sockets, with hooks that panic when they are told to.

use async_trait::async_trait;
use pingora::Result;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, http_proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::telemetry::{ScrapeView, Telemetry};
use furt_core::model::{Definition, InstanceId, InstanceSpec, ServiceName, Status, UpstreamUrl};
use furt_core::routing::{Instance, InstanceLive, PoolGroup, SelectionInput};

/// As the gateway: takes a slot, then answers 204, except for `/panic`.
struct Hooks {
    telemetry: Arc<Telemetry>,
    service: Arc<Service>,
}

#[async_trait]
impl ProxyHttp for Hooks {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(clock::now(), Arc::clone(&self.telemetry.proxy))
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        ctx.attempts.lease = self.service.pick(&SelectionInput::default(), |_| false).ok();
        assert!(ctx.attempts.lease.is_some(), "no slot is left");
        assert_ne!(session.req_header().uri.path(), "/panic", "as the test told it");
        let answer = ResponseHeader::build(204, None)?;
        session.write_response_header(Box::new(answer), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Context) -> Result<Box<HttpPeer>> {
        unreachable!("every request is answered before")
    }
}

/// With one instance that takes one request at a time.
fn service() -> Arc<Service> {
    let url = UpstreamUrl::try_new("http://127.0.0.1:9000").unwrap();
    let instance = Instance {
        addresses: Arc::from([url.socket_address().unwrap()]),
        spec: Arc::new(InstanceSpec {
            health_endpoint: None,
            hard_limit: 1,
            ..InstanceSpec::new(InstanceId::try_new("a").unwrap(), url)
        }),
        status: Status::Up,
        soft_limit: 0,
        hard_limit: 1,
        pool_group: PoolGroup::default(),
        live: Arc::new(InstanceLive::default()),
    };
    let definition = Definition::new(ServiceName::try_new("a").unwrap());
    Arc::new(Service::new(Arc::new(definition), ServiceKind::Registered, Status::Up, Box::new([Arc::new(instance)])))
}

/// What comes back on a connection of its own, and whether its task panicked: as in Pingora, one task a connection.
async fn request(app: &Arc<pingora_proxy::HttpProxy<Hooks>>, path: &str) -> (String, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let session = ServerSession::new_http1(Box::new(Stream::from(stream)));
    let (_running, shutdown) = watch::channel(false);
    let app = Arc::clone(app);
    let connection = tokio::spawn(async move { app.process_new_http(session, &shutdown).await.is_some() });
    let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    (answer, connection.await.is_err_and(|ended| ended.is_panic()))
}

#[tokio::test]
async fn a_panic_in_a_hook_costs_one_request_and_releases_its_slot() {
    let telemetry = Telemetry::try_new().unwrap();
    let hooks = Hooks { telemetry: Arc::clone(&telemetry), service: service() };
    let service = Arc::clone(&hooks.service);
    let app = Arc::new(http_proxy(&Arc::new(ServerConf::default()), hooks));
    for (path, status, panics) in
        [("/", "HTTP/1.1 204", 0), ("/panic", "", 1), ("/panic", "", 2), ("/", "HTTP/1.1 204", 2)]
    {
        let before = telemetry.proxy.panics();
        let (answer, panicked) = request(&app, path).await;
        assert!(answer.starts_with(status) && answer.is_empty() == status.is_empty(), "{path}: {answer}");
        assert_eq!((telemetry.proxy.panics(), panicked), (panics, panics > before));
        assert_eq!((telemetry.proxy.in_flight(), service.instances[0].live.in_flight()), (0, 0));
    }
    let metrics = String::from_utf8(
        telemetry.gather(|| ScrapeView { services: Vec::new(), has_route: |_: &_, _| false }).flatten().collect(),
    )
    .unwrap();
    assert!(metrics.contains("furt_request_panics_total 2"));
}
