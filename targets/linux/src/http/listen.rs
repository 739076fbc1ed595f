//! Sockets that are listened on.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, UnixListener};

use super::settings::Address;

/// A socket of either family.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens on an address, and gives the one that the system chose.
pub(super) fn bind(address: &Address) -> io::Result<(Listener, Address)> {
    match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(*address)?;
            let bound: SocketAddr = listener.local_addr()?;
            Ok((Listener::Tcp(listener), Address::Tcp(bound)))
        }
        Address::Unix(path) => {
            let listener = match UnixListener::bind(path) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    // A socket that nobody listens on is what a server that was killed leaves behind.
                    match std::os::unix::net::UnixStream::connect(path) {
                        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                            std::fs::remove_file(path)?
                        }
                        _ => return Err(error),
                    }
                    UnixListener::bind(path)?
                }
                other => other?,
            };
            Ok((Listener::Unix(listener), address.clone()))
        }
    }
}

/// Lets the process have so many files open, as far as the system permits.
pub(super) fn raise_descriptor_limit(needed: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(needed as u64, |most| most.min(needed as u64));
    if limit.current.is_some_and(|current| current < wanted) {
        // The connections beyond it are then refused by the system.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}
