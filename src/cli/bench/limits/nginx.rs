//! A provider that is not ours: nginx, whose `limit_req` counts as a leaky bucket, with one answer
//! for all. Its access log is the provider's log.
//!
//! `rate=Nr/m burst=M nodelay` lets M + 1 calls in at once and the rest evenly, to the millisecond.
//! A limit is looked at before content is made but after `return`, so answers come from a second
//! server behind the first, over a socket in the folder of the case.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    measure::{How, Seen},
    scenario::Scene,
};
use crate::cli::CliError;

/// An nginx of our own, ended with this handle.
pub(super) struct Nginx {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
}

impl Nginx {
    pub(super) async fn start(scene: &Scene, folder: &Path) -> Result<Self, CliError> {
        let program = found()?;
        let addr = free_port().map_err(|source| io("find a free port", source))?;
        let (settings, log) = (folder.join("nginx.conf"), folder.join("access.log"));
        std::fs::write(&settings, conf(scene, folder, addr))
            .and_then(|()| std::fs::write(folder.join("answer.json"), ANSWER))
            .map_err(|source| io("write the settings of nginx", source))?;
        let child = Command::new(program)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| io("start nginx", source))?;
        let listens = async {
            while TcpStream::connect(addr).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, listens).await.is_err() {
            let errors = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            let last = errors.lines().last().unwrap_or("it said nothing");
            return Err(CliError::input(
                format!("nginx did not start: {last}"),
                "nginx 1.18 or newer with ngx_http_limit_req_module is needed; or leave out --independent",
            ));
        }
        Ok(Self { child, addr, log })
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}/v1beta", self.addr)
    }

    /// All calls so far; it writes a line as a call ends.
    pub(super) fn log(&self) -> Result<Vec<Seen>, CliError> {
        let text = std::fs::read_to_string(&self.log)
            .map_err(|source| io("read the log of nginx", source))?;
        Ok(text.lines().filter_map(seen).collect())
    }

    pub(super) async fn stop(mut self) {
        // it holds nothing that a kill could hurt
        let _ = self.child.kill().await;
    }
}

/// Where it is: Debian keeps it out of the path of users.
fn found() -> Result<PathBuf, CliError> {
    let system = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    let mut places = system.iter().map(PathBuf::from);
    places.find(|path| path.is_file()).ok_or_else(|| {
        CliError::input(
            "nginx is not installed: --independent needs it as a provider that is not ours",
            "apt-get install nginx-light (or your system's nginx), or leave out --independent",
        )
    })
}

fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn conf(scene: &Scene, folder: &Path, addr: SocketAddr) -> String {
    let (mut zones, mut places) = (String::new(), String::new());
    for model in &scene.models {
        let (name, size) = (&model.name, model.requests.size);
        let behind = model.requests.burst.unwrap_or(1).saturating_sub(1);
        // writing to a string cannot fail
        let _ = writeln!(
            zones,
            "  limit_req_zone $server_name zone={name}:64k rate={size}r/m;"
        );
        let burst = match behind {
            0 => String::new(),
            more => format!(" burst={more} nodelay"),
        };
        let _ = writeln!(
            places,
            "    location ~ ^/v1beta/models/{name}: {{ limit_req zone={name}{burst}; proxy_pass http://unix:{}/answer.sock; }}",
            folder.display()
        );
    }
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  log_format calls '$msec $request_time $status $uri';\n  access_log {folder}/access.log calls;\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         \x20 limit_req_status 429;\n  keepalive_requests 1000000;\n{zones}\
         \x20 server {{\n    listen {addr};\n    server_name provider;\n{places}  }}\n\
         \x20 server {{\n    listen unix:{folder}/answer.sock;\n    access_log off;\n    root {folder};\n    default_type application/json;\n\
         \x20   location / {{ error_page 405 =200 /answer.json; try_files /answer.json =404; }}\n  }}\n}}\n"
    )
}

/// `1795348800.123 0.004 200 /v1beta/models/model-1:...`: when it ended, how long it took.
fn seen(line: &str) -> Option<Seen> {
    let mut words = line.split(' ');
    let mut ms = || {
        let (seconds, rest) = words.next()?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000 + rest.parse::<u64>().ok()?)
    };
    let (ended_ms, took_ms) = (ms()?, ms()?);
    let how = match words.next()? {
        "429" => How::Refused,
        "499" => How::Abandoned,
        "200" => How::Answered,
        _ => How::Other,
    };
    let model = words.next()?.rsplit('/').next()?.split(':').next()?;
    Some(Seen {
        at_ms: ended_ms.checked_sub(took_ms)?,
        took_ms,
        model: model.to_owned(),
        input_tokens: 0,
        how,
    })
}

fn io(doing: &str, source: std::io::Error) -> CliError {
    CliError::Io {
        doing: doing.to_owned(),
        source,
    }
}

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer as it was recorded of the real one: any will do for the bench's worker.
const ANSWER: &str = include_str!("../../../provider/gemini/testdata/ok.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_a_call() {
        let line = "1795348800.123 0.004 200 /v1beta/models/model-1:ask";
        let call = seen(line).expect("a call");
        assert_eq!((call.at_ms, call.took_ms), (1_795_348_800_119, 4));
        assert_eq!((call.model.as_str(), call.how), ("model-1", How::Answered));
        let refused = seen(&line.replace(" 200 ", " 429 ")).expect("a call");
        assert_eq!(refused.how, How::Refused);
        assert_eq!(seen("half a li"), None);
    }
}
