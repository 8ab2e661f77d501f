//! Uploads that come in several requests, as Gemini takes them.

use bytes::{Bytes, BytesMut};

use super::desk::Desk;
use super::files::{NewFile, Stored};
use super::job::Vendor;
use crate::simulator::chance::{hash, mix};

/// An upload under way, or one that ended.
pub(super) struct Upload {
    id: String,
    file_id: Option<String>,
    name: String,
    mime: String,
    bytes: BytesMut,
    /// The id of the file it became.
    done: Option<String>,
}

/// One request of an upload.
pub(in crate::simulator) struct Sent {
    pub(in crate::simulator) offset: u64,
    pub(in crate::simulator) bytes: Bytes,
    pub(in crate::simulator) finalize: bool,
}

/// What became of it.
pub(in crate::simulator) enum Took {
    /// There is no such upload.
    Unknown,
    /// More is to come; so much is here.
    Active(u64),
    /// It does not go on where the last one ended: so much is here.
    Elsewhere(u64),
    /// All is here; and whether the answer is lost.
    Final(Box<Stored>, bool),
    /// Meanwhile there is another file of that id.
    Exists,
}

impl Desk {
    /// Begins an upload; `None`: there is a file of that id.
    pub(in crate::simulator) fn begin_upload(
        &mut self,
        file_id: Option<String>,
        name: String,
        mime: String,
        now_ms: u64,
    ) -> Option<String> {
        let taken = |id: &str| self.file(Vendor::Gemini, id, now_ms).is_some();
        if file_id.as_deref().is_some_and(taken) {
            return None;
        }
        let number = u64::try_from(self.uploads.len()).unwrap_or(u64::MAX);
        let id = format!("sim{:016x}", mix(self.seed ^ hash("upload") ^ number));
        self.uploads.push(Upload {
            id: id.clone(),
            file_id,
            name,
            mime,
            bytes: BytesMut::new(),
            done: None,
        });
        Some(id)
    }

    /// Takes what was sent. What is here already may come again, and so may the end.
    pub(in crate::simulator) fn upload(&mut self, id: &str, sent: &Sent, now_ms: u64) -> Took {
        let Some(at) = self.uploads.iter().position(|upload| upload.id == id) else {
            return Took::Unknown;
        };
        if let Some(done) = &self.uploads[at].done {
            let file = self.file(Vendor::Gemini, done, now_ms);
            return file.map_or(Took::Unknown, |file| {
                Took::Final(Box::new(file.clone()), false)
            });
        }
        let upload = &mut self.uploads[at];
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let here = length(upload.bytes.len());
        let end = sent.offset.saturating_add(length(sent.bytes.len()));
        if sent.offset > here || (sent.offset < here && end > here) {
            return Took::Elsewhere(here);
        }
        if sent.offset == here {
            upload.bytes.extend_from_slice(&sent.bytes);
        }
        if !sent.finalize {
            return Took::Active(length(upload.bytes.len()));
        }
        let new = NewFile {
            vendor: Vendor::Gemini,
            id: upload.file_id.clone(),
            name: upload.name.clone(),
            mime: upload.mime.clone(),
            purpose: "",
            bytes: std::mem::take(&mut upload.bytes).freeze(),
            live_s: Some(self.settings.files_live_s),
        };
        match self.keep(new, now_ms) {
            Some((file, lost)) => {
                self.uploads[at].done = Some(file.id.clone());
                Took::Final(Box::new(file), lost)
            }
            None => {
                self.uploads.remove(at);
                Took::Exists
            }
        }
    }

    /// Forgets an upload.
    pub(in crate::simulator) fn cancel_upload(&mut self, id: &str) {
        self.uploads.retain(|upload| upload.id != id);
    }
}
