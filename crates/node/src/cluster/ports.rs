//! Which ports are free on this machine, as far as one can tell: somebody may take one in the next moment.

use std::net::{SocketAddr, TcpListener};

/// Whether nobody listens on `address` now.
///
/// # Errors
/// What the system says when it is neither free nor taken, such as an address of another machine.
pub fn is_free(address: SocketAddr) -> std::io::Result<bool> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

/// The first port from `preferred` on from which `count` ports in a row are free on loopback.
pub fn free_base_port(preferred: u16, count: u16) -> Option<u16> {
    let mut base = preferred;
    loop {
        let last = base.checked_add(count.checked_sub(1)?)?;
        let taken =
            (base..=last).rev().find(|port| !is_free(SocketAddr::from(([127, 0, 0, 1], *port))).unwrap_or(false));
        match taken {
            None => return Some(base),
            Some(port) => base = port.checked_add(1)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(!is_free(held.local_addr().unwrap()).unwrap());
        if let Some(base) = free_base_port(port.saturating_sub(1), 2) {
            assert!(base > port, "{base} would need {port}");
        }
    }

    #[test]
    fn there_are_no_ports_above_the_last() {
        assert_eq!(free_base_port(65_534, 4), None);
    }
}
