//! A gateway over a ledger in this process: what the gateway costs when agreement costs nothing.
//!
//! ```text
//! cargo run --release -p bezant-node --example gateway_in_process -- 127.0.0.1:7379 [latency in ms]
//! redis-benchmark -p 7379 -t set,get -d 100 -c 50 -P 16 -n 1000000
//! ```

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use bezant_node::gateway::{Facts, Gateway, Options, seam};
use bezant_types::keys::Role;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7379".into()).parse()?;
    let latency = Duration::from_millis(arguments.next().map_or(Ok(0), |text| text.parse())?);
    let genesis = support::genesis(Role::Write, |_| ());
    let facts = Facts::new(&genesis, support::gateway_key().account())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::bind(Options::standard(address, &facts), facts).await?;
        println!("listening on {}", gateway.local_addr());
        let (link, requests) = seam::seam();
        let group = support::Group::new(genesis, support::Kindness::Fifo, latency);
        let group = tokio::spawn(group.serve(requests));
        let stop = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        gateway.run(link, stop).await;
        group.await?;
        Ok(())
    })
}
