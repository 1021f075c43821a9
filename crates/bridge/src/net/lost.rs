//! What arrived at our sockets and did not fit in: the kernel counts it, and tells nobody.

use crate::net::Socket;
use nix::sys::stat::fstat;
use std::fs;

const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// How the kernel's table names the sockets of one worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inodes(Vec<u64>);

impl Inodes {
    /// Of these sockets; those that the system does not tell are left out.
    pub(crate) fn of(sockets: &[Socket]) -> Self {
        let inodes = sockets.iter().filter_map(|socket| fstat(&socket.io).ok());
        Self(inodes.map(|status| status.st_ino).collect())
    }
}

/// What the sockets of each worker have lost since they were opened; nothing where there is no
/// such table. Reads files of the kernel: a moment, but not for a media thread.
pub(crate) fn lost(workers: &[Inodes]) -> Vec<u64> {
    let mut lost = vec![0; workers.len()];
    for table in TABLES {
        if let Ok(text) = fs::read_to_string(table) {
            for (sum, inodes) in lost.iter_mut().zip(workers) {
                *sum += lost_in(&text, inodes);
            }
        }
    }
    lost
}

/// Columns are `sl local remote st queues tr:when retransmits uid timeout inode ref pointer drops`.
fn lost_in(table: &str, inodes: &Inodes) -> u64 {
    const INODE: usize = 9;
    let rows = table.lines().skip(1).map(str::split_whitespace);
    rows.filter_map(|mut row| {
        let inode: u64 = row.nth(INODE)?.parse().ok()?;
        let drops: u64 = row.last()?.parse().ok()?;
        inodes.0.contains(&inode).then_some(drops)
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bind_all;
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    #[test]
    fn only_our_rows_are_summed() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            2061: 0100007F:2710 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n\
            2062: 0100007F:2710 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 30\n\
            2063: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 1000\n\
            nonsense\n";
        assert_eq!(lost_in(table, &Inodes(vec![4711, 4712])), 42);
        assert_eq!(lost_in(table, &Inodes(vec![1])), 0);
        assert_eq!(lost_in("", &Inodes(vec![4711])), 0);
    }

    #[test]
    fn a_flooded_socket_shows_what_it_lost() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let workers = bind_all(0, &[localhost], 1).unwrap();
        let inodes: Vec<_> = workers.iter().map(|sockets| Inodes::of(sockets)).collect();
        if fs::read_to_string(TABLES[0]).is_err() {
            // Without the table there is nothing to tell.
            assert_eq!(lost(&inodes), [0]);
            return;
        }
        assert_eq!(lost(&inodes), [0]);
        let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
        flood.connect(workers[0][0].bound).unwrap();
        // More than the largest buffer takes.
        for _ in 0..2_000 {
            flood.send(&[0; 60_000]).unwrap();
        }
        assert!(lost(&inodes)[0] > 0);
    }
}
