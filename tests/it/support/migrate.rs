//! The one place where tests meet the migrations.

use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::PgPool;

/// What the schema is made of, from the package's folder.
const SOURCES: [&str; 2] = ["migrations", "src/store/sql"];

/// Brings an empty database to the newest schema.
pub(crate) async fn migrate(pool: &PgPool) {
    let store = tidegate::store::Store::over(pool.clone());
    tidegate::store::migrate::run(&store)
        .await
        .expect("the migrations run on an empty database");
}

/// Names the schema by its content: equal sources, equal name.
pub(crate) fn fingerprint() -> String {
    let mut hash = Sha256::new();
    for source in SOURCES {
        add(
            &mut hash,
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(source),
        );
    }
    hex::encode(&hash.finalize()[..6])
}

fn add(hash: &mut Sha256, path: &Path) {
    if path.is_dir() {
        let entries = path.read_dir().expect("a source folder can be listed");
        let mut paths: Vec<_> = entries
            .map(|it| it.expect("an entry is read").path())
            .collect();
        paths.sort();
        paths.iter().for_each(|path| add(hash, path));
    } else if let Ok(content) = std::fs::read(path) {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(content);
    }
}
