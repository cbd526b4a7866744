//! When a network is ready: when its gateway answers a command that the replicas had to order.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Waits until the group answers through its gateway at `redis`.
pub(super) async fn answered(redis: SocketAddr) {
    while !asked(redis).await {
        sleep(PAUSE).await;
    }
}

/// Asks once for the number of entries, which no gateway can know by itself.
async fn asked(redis: SocketAddr) -> bool {
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(redis).await?);
        stream.write_all(b"DBSIZE\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        std::io::Result::Ok(line.starts_with(':'))
    };
    // The gateway says by itself when there is no quorum; the limit is for what is no gateway.
    timeout(LONGEST_ANSWER, exchange).await.is_ok_and(|answer| answer.unwrap_or(false))
}

const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_ANSWER: Duration = Duration::from_secs(15);
