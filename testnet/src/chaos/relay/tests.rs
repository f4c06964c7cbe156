#![allow(clippy::unwrap_used)]
use super::*;

/// Deadline for an expected byte, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

/// Node 1 of two: it echoes every byte.
struct Fixture {
    relay: Relay,
}

impl Fixture {
    async fn new() -> Self {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut input, mut output) = stream.split();
                    tokio::io::copy(&mut input, &mut output).await.ok();
                });
            }
        });
        Self { relay: Relay::start(&[address, address], 1).unwrap() }
    }

    async fn connect(&self) -> TcpStream {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.relay.port(0, 1).unwrap())).await
    }
}

/// Sends a byte and waits this long for its echo.
async fn echo(stream: &mut TcpStream, patience_ms: u64) -> Option<io::Result<u8>> {
    let turn = async {
        stream.write_all(&[7]).await?;
        stream.read_u8().await
    };
    tokio::time::timeout(Duration::from_millis(patience_ms), turn).await.ok()
}

#[tokio::test]
async fn a_good_link_carries_everything_in_order_and_its_end() {
    let fixture = Fixture::new().await;
    let mut stream = fixture.connect().await;
    let sent: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    let mut got = Vec::new();
    let (mut input, mut output) = stream.split();
    let write = async {
        output.write_all(&sent).await.unwrap();
        output.shutdown().await.unwrap();
    };
    tokio::join!(write, async { input.read_to_end(&mut got).await.unwrap() });
    assert_eq!(got, sent);
    assert_eq!((fixture.relay.carried(0, 1), fixture.relay.carried(1, 0)), (100_000, 100_000));
}

#[tokio::test]
async fn a_silent_cut_holds_everything_until_it_heals() {
    let fixture = Fixture::new().await;
    let mut old = fixture.connect().await;
    assert_eq!(echo(&mut old, PATIENCE_MS).await.unwrap().unwrap(), 7);
    for pair in [(0, 1), (1, 0)] {
        fixture.relay.set(pair.0, pair.1, Condition { cut: Some(Cut::Silent), ..Condition::default() });
    }
    let before = fixture.relay.carried(0, 1);
    assert!(echo(&mut old, 300).await.is_none(), "the old connection is silent, not closed");
    let mut new = fixture.connect().await;
    assert!(echo(&mut new, 300).await.is_none(), "a new one gets no answer");
    assert_eq!(fixture.relay.carried(0, 1), before);
    fixture.relay.heal();
    for stream in [&mut old, &mut new] {
        let read = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), stream.read_u8()).await;
        assert_eq!(read.unwrap().unwrap(), 7, "what was sent meanwhile arrives");
    }
}

#[tokio::test]
async fn a_cut_with_resets_ends_old_connections_and_new_ones() {
    let fixture = Fixture::new().await;
    let mut old = fixture.connect().await;
    assert_eq!(echo(&mut old, PATIENCE_MS).await.unwrap().unwrap(), 7);
    fixture.relay.set(1, 0, Condition { cut: Some(Cut::Reset), ..Condition::default() });
    let ended = tokio::time::timeout(Duration::from_millis(PATIENCE_MS), old.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    // The reset may come before this side knows that it is connected.
    if let Ok(mut new) = fixture.try_connect().await {
        assert!(echo(&mut new, PATIENCE_MS).await.unwrap().is_err());
    }
    fixture.relay.heal();
    let mut later = fixture.connect().await;
    assert_eq!(echo(&mut later, PATIENCE_MS).await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn one_direction_can_be_cut_alone() {
    let fixture = Fixture::new().await;
    let mut stream = fixture.connect().await;
    assert_eq!(echo(&mut stream, PATIENCE_MS).await.unwrap().unwrap(), 7);
    fixture.relay.set(1, 0, Condition { cut: Some(Cut::Silent), ..Condition::default() });
    let (there, back) = (fixture.relay.carried(0, 1), fixture.relay.carried(1, 0));
    assert!(echo(&mut stream, 300).await.is_none());
    while fixture.relay.carried(0, 1) == there {
        tokio::task::yield_now().await;
    }
    assert_eq!((fixture.relay.carried(0, 1), fixture.relay.carried(1, 0)), (there + 1, back));
}

#[tokio::test]
async fn a_delay_is_one_of_each_direction() {
    let fixture = Fixture::new().await;
    fixture.relay.set_all(Condition { delay_ms: 100, jitter_ms: 20, ..Condition::default() });
    let mut stream = fixture.connect().await;
    for _ in 0..3 {
        let started = Instant::now();
        echo(&mut stream, PATIENCE_MS).await.unwrap().unwrap();
        let took = started.elapsed().as_millis();
        assert!(took >= 160, "{took} ms");
    }
}

#[test]
fn loss_is_a_wait_that_doubles_and_then_the_end() {
    let mut random = Random::new(1);
    let mut drawn = |loss| {
        let condition = Condition { loss, ..Condition::default() };
        let times = (0..20_000).map(|_| takes(&condition, &mut random).map(|time| time.as_millis()));
        times.collect::<Vec<_>>()
    };
    assert!(drawn(0).iter().all(|time| *time == Some(0)));
    assert!(drawn(1_000).iter().all(Option::is_none));
    let third = drawn(300);
    let share = |wanted| third.iter().filter(|time| **time == wanted).count();
    // 70 % at once, 21 % after one retransmission, 6.3 % after two; 0.07 % are lost six times.
    assert!((13_500..14_500).contains(&share(Some(0))), "{}", share(Some(0)));
    assert!((3_900..4_500).contains(&share(Some(200))), "{}", share(Some(200)));
    assert!((1_050..1_470).contains(&share(Some(600))), "{}", share(Some(600)));
    assert!((1..60).contains(&share(None)), "{}", share(None));
}
