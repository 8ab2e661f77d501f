//! Both sorts of sockets as one: doors to accept at, and halves that can end in order or by a reset.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix},
};

use super::Server;

/// The port only names the socket.
const SOCKET: &str = ".s.PGSQL.5432";

/// What a connection says.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Where clients knock.
#[derive(Debug)]
pub(super) enum Door {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl Door {
    pub(super) async fn tcp() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self::Tcp(listener, addr))
    }

    pub(super) fn unix(folder: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        Ok(Self::Unix(listener, folder.to_path_buf()))
    }

    pub(super) fn url(&self, database: &str) -> String {
        match self {
            Self::Tcp(_, addr) => format!("postgres://postgres@{addr}/{database}?sslmode=disable"),
            Self::Unix(_, folder) => format!(
                "postgres:///{database}?host={}&user=postgres&port=5432&sslmode=disable",
                folder.display()
            ),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(listener, _) => of_tcp(listener.accept().await?.0),
            Self::Unix(listener, _) => Ok(of_unix(listener.accept().await?.0)),
        }
    }
}

/// Connects on.
pub(super) async fn connect(server: &Server) -> io::Result<(Reader, Writer)> {
    match server {
        Server::Tcp(addr) => of_tcp(TcpStream::connect(addr).await?),
        Server::Unix(folder) => Ok(of_unix(UnixStream::connect(folder.join(SOCKET)).await?)),
    }
}

fn of_tcp(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok((Box::new(reader), Writer::Tcp(writer)))
}

fn of_unix(stream: UnixStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (Box::new(reader), Writer::Unix(writer))
}

/// What a connection is told.
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl Writer {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.write_all(bytes).await,
            Self::Unix(half) => half.write_all(bytes).await,
        }
    }

    /// Ends this direction in order.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.shutdown().await,
            Self::Unix(half) => half.shutdown().await,
        }
    }

    /// Ends the connection by a reset, once its reader is dropped too. A unix socket knows none: it
    /// is closed.
    pub(super) fn reset(self) {
        match self {
            Self::Tcp(half) => {
                // where it fails the connection is gone already
                let _ = half.as_ref().set_zero_linger();
                half.forget();
            }
            Self::Unix(half) => half.forget(),
        }
    }
}
