use std::{future::Future, sync::atomic::AtomicUsize};

use axum::{Router, routing::any};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A server that does with each connection what it likes.
async fn hostile<F, Fut>(serve: F) -> Url
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

/// Sends `head` and then `piece` for ever.
async fn endless(head: &'static str, piece: Vec<u8>) -> Url {
    hostile(move |mut stream| {
        let piece = piece.clone();
        async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&piece).await.is_ok() {}
        }
    })
    .await
}

async fn friendly(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn wire(url: &Url, seconds: u64) -> Wire {
    let access = Access { timeout: Some(Duration::from_secs(seconds)), ..Access::default() };
    Wire::new(&Target::Http(url.clone()), &access).unwrap()
}

async fn get(wire: &Wire, url: &Url) -> Result<Heard, WireError> {
    wire.send("auth-required", Ask::get(url.clone())).await
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat();
    let chunked = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk).await;
    let large = endless("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", vec![b'x'; 65536]).await;
    for url in [chunked, large] {
        let heard = get(&wire(&url, 30), &url).await.unwrap();
        assert!(heard.truncated);
        assert_eq!(heard.body.len(), MAX_BODY);
    }
}

#[tokio::test]
async fn silence_and_dripping_end_with_the_run() {
    let silent = hostile(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let dripping = hostile(|mut stream| async move {
        for byte in b"HTTP/1.1 200 OK\r\nx-slow: ".iter().chain(&[b'y'; 1000]) {
            let _ = stream.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for url in [silent.await, dripping.await] {
        let (wire, begun) = (wire(&url, 1), Instant::now());
        let error = get(&wire, &url).await.unwrap_err();
        assert!(matches!(error, WireError::TimedOut { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        assert_eq!(wire.exchanges()[0].response_body, "no answer in time");
        assert!(matches!(get(&wire, &url).await, Err(WireError::OutOfTime)));
    }
}

#[tokio::test]
async fn a_body_that_drips_still_tells_its_status() {
    let url = hostile(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 1000\r\n\r\n").await;
        for _ in 0..1000 {
            let _ = stream.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let heard = get(&wire(&url, 1), &url).await.unwrap();
    assert_eq!((heard.status.as_u16(), heard.truncated), (401, true));
}

#[tokio::test]
async fn floods_and_nonsense_are_failures_of_one_exchange() {
    let header = endless("HTTP/1.1 200 OK\r\n", b"x-flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec()).await;
    let line = endless("HTTP/1.1 200 ", vec![b'x'; 65536]).await;
    let nonsense = endless("\u{1b}[2J hello", vec![0; 65536]).await;
    let closed = hostile(|stream| async move { drop(stream) }).await;
    for url in [header, line, nonsense, closed] {
        let error = get(&wire(&url, 5), &url).await.unwrap_err();
        assert!(matches!(error, WireError::Failed { exchange: 1, .. }), "{error}");
    }
}

#[tokio::test]
async fn redirects_and_compression_come_back_as_they_are() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let url = friendly(Router::new().fallback(any(|headers: HeaderMap| async move {
        ASKED.fetch_add(1, Ordering::SeqCst);
        let encoding = headers["accept-encoding"].to_str().unwrap().to_owned();
        (StatusCode::FOUND, [("location", "/mcp".to_owned()), ("content-encoding", "gzip".into())], encoding)
    })))
    .await;
    let heard = get(&wire(&url, 5), &url).await.unwrap();
    assert_eq!((heard.status, heard.header("location")), (StatusCode::FOUND, Some("/mcp")));
    assert_eq!(heard.text(), "identity");
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_points_inside_is_not_reached() {
    let url = friendly(Router::new()).await;
    let wire = wire(&url, 5);
    for inside in ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[fd00:ec2::254]/", "http://0.0.0.0/"] {
        let error = get(&wire, &inside.parse().unwrap()).await.unwrap_err();
        assert!(error.points_inside(), "{inside}: {error}");
    }
    for odd in ["ftp://127.0.0.1/", "http://user:pass@127.0.0.1/", "file:///etc/passwd"] {
        assert!(matches!(get(&wire, &odd.parse().unwrap()).await, Err(WireError::Failed { .. })), "{odd}");
    }
}

#[tokio::test]
async fn no_second_sees_more_than_twenty_requests() {
    let url = friendly(Router::new()).await;
    let (wire, begun) = (wire(&url, 30), Instant::now());
    let all = (0..RATE + 5).map(|_| get(&wire, &url));
    let all = futures::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_stream_is_glanced_at_and_bounded() {
    let event = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n".repeat(100);
    let url = endless("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", event).await;
    let wire = wire(&url, 20);
    let heard = get(&wire, &url).await.unwrap();
    assert!(heard.truncated && heard.rpc().is_none());
    let mut stream = wire.open("auth-required", Ask::get(url)).await.unwrap();
    let mut events = 0;
    let error = loop {
        match stream.next_event(Duration::from_secs(5)).await {
            Ok(event) => events += usize::from(event.is_some()),
            Err(error) => break error,
        }
    };
    assert!(events > 1000 && matches!(error, WireError::BadEvent(_)), "{events} {error}");
}

#[tokio::test]
async fn an_answer_among_events_ends_the_reading() {
    let url = hostile(|mut stream| async move {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n").await;
        let _ = stream.write_all(b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let begun = Instant::now();
    let ask = Ask::post_mcp(url.clone(), &serde_json::json!({}));
    let heard = wire(&url, 20).send("auth-required", ask).await.unwrap();
    assert_eq!(heard.rpc().unwrap()["id"], 1);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn no_record_shows_a_credential() {
    let echo = |headers: HeaderMap, body: String| async move {
        (StatusCode::OK, [("x-echo", headers["authorization"].clone())], format!("{headers:?} {body}"))
    };
    let url = friendly(Router::new().fallback(any(echo))).await;
    let wire = wire(&url, 5);
    let (token, password) = ("an-access-token-that-nobody-may-see", "correct horse & battery");
    wire.keep_secret(&Secret::new(password));
    let fields = [("password", password), ("code_verifier", "a-verifier-that-is-long-enough")];
    let ask = Ask::post_form(format!("{url}?access_token={token}").parse().unwrap(), &fields).bearer(token);
    wire.send("auth-required", ask).await.unwrap();
    let record = format!("{:?}", wire.exchanges());
    for secret in [token, password, "correct+horse", "a-verifier-that-is"] {
        assert!(!record.contains(secret), "{secret} in {record}");
    }
    let exchange = &wire.exchanges()[0];
    assert!(exchange.replay.contains(r#"'authorization: Bearer '"$TOKEN""#), "{}", exchange.replay);
    assert_eq!(exchange.status, Some(200));
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_it_is_sent() {
    let url = friendly(Router::new()).await;
    let wire = wire(&url, 5);
    let ask = Ask::get(url).header("x-bad", "line\nbreak");
    assert!(matches!(wire.send("auth-required", ask).await, Err(WireError::BadRequest(_))));
    assert!(wire.exchanges().is_empty());
}

#[tokio::test]
async fn an_operators_system_is_reached_after_the_end_of_the_run() {
    let long = "x".repeat(2 * MAX_BODY);
    let url = friendly(Router::new().fallback(any(move || async move { long }))).await;
    let outside: Url = "https://mcp.example/mcp".parse().unwrap();
    let wire = wire(&outside, 0);
    assert!(matches!(get(&wire, &url).await, Err(WireError::OutOfTime)));
    let heard = wire.send_to_operator("contain-others", Ask::get(url), Duration::from_secs(10)).await.unwrap();
    assert_eq!((heard.body.len(), heard.truncated), (2 * MAX_BODY, false));
}
