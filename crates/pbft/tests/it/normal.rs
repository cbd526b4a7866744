//! The normal case: rules P-1 to P-8.

use crate::network::small;
use crate::world::World;

#[test]
fn what_clients_ask_is_executed_everywhere_alike() {
    let mut w = World::new(4, small(), 1);
    w.work(10);
    w.converge();
    assert_eq!(w.executed(0), 30);
    assert_eq!(w.view(0), 0);
}
