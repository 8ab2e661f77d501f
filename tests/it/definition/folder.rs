//! Reading a folder from the disk.

use std::fs;

use tidegate::definition::{DefinitionError, Folder};

use super::{WORKER, a_folder, check};

#[test]
fn a_folder_is_the_same_with_either_line_end() {
    let folder = tempfile::tempdir().unwrap();
    for name in a_folder().names() {
        let text = a_folder().text(name).unwrap().replace('\n', "\r\n");
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::create_dir(folder.path().join("sample")).unwrap();
    fs::write(folder.path().join("rows.jsonl"), "{}").unwrap();
    fs::write(folder.path().join(".sql"), [0xff]).unwrap();
    assert_eq!(Folder::read(folder.path()), Ok(a_folder()));
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(
        Folder::read(&nowhere),
        Err(DefinitionError::Read { .. })
    ));

    fs::write(folder.path().join("prompt.md"), b"one\ntwo \xff").unwrap();
    let error = Folder::read(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "prompt.md:2: is not valid UTF-8 here");

    fs::write(folder.path().join("prompt.md"), vec![b'x'; (4 << 20) + 1]).unwrap();
    let error = Folder::read(folder.path()).unwrap_err();
    assert!(error.to_string().contains("at most 4194304"), "{error}");
}

#[test]
fn a_folder_survives_the_database() {
    let json = serde_json::to_string(&a_folder()).unwrap();
    let again: Folder = serde_json::from_str(&json).unwrap();
    assert_eq!(again, a_folder());
    assert_eq!(
        check(&again).unwrap().hash(),
        check(&a_folder()).unwrap().hash()
    );
}

#[test]
fn marks_that_hide_in_texts_are_refused() {
    for (file, text, said) in [
        (
            "prompt.md",
            "\u{feff}x",
            "prompt.md:1: begins with a byte order mark",
        ),
        (
            "worker.toml",
            &format!("\u{feff}{WORKER}"),
            "worker.toml:1: begins with a byte order mark",
        ),
        ("sink.sql", "a\nb\0", "sink.sql:2: holds a NUL"),
        (
            "source.sql",
            " \n",
            "source.sql: \"sql\" names an empty file",
        ),
    ] {
        let mut folder = a_folder();
        folder.insert(file, text);
        let error = check(&folder).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
    let error = check(&Folder::default()).unwrap_err();
    assert_eq!(error.to_string(), "worker.toml: is not in the folder");
}
