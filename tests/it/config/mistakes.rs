//! Every mistake is told with file, line, key and what to do.

use super::Written;

/// Text, the line it is told of, what the message must say.
const MISTAKES: &[(&str, usize, &[&str])] = &[
    (
        "[wrok]\nslots = 3\n",
        1,
        &["unknown key \"wrok\"", "did you mean \"work\""],
    ),
    (
        "[work]\nslot = 3\n",
        2,
        &["unknown key \"slot\" in [work]", "did you mean \"slots\""],
    ),
    (
        "[work]\nxyzzy_q = 3\n",
        2,
        &["unknown key", "known here: slots"],
    ),
    (
        "[work]\nslots = 0\n",
        2,
        &["\"slots\" is 0: it must be 1 to 10000"],
    ),
    ("[work]\nslots = 10001\n", 2, &["1 to 10000"]),
    (
        "[batches]\npoll_s = 5\npoll_max_s = 4\n",
        3,
        &["\"poll_max_s\" is 4, less than poll_s, 5", "at least 5"],
    ),
    (
        "[batches]\npol_s = 5\n",
        2,
        &[
            "unknown key \"pol_s\" in [batches]",
            "did you mean \"poll_s\"",
        ],
    ),
    (
        "[providers.g]\nkind = \"gemini\"\nbatch_jobs = 0\n",
        3,
        &["\"batch_jobs\" is 0: it must be 1 to 100000"],
    ),
    (
        "[providers.g]\nkind = \"gemini\"\n[[models]]\nname = \"g/m\"\nbatch_price_percent = 101\n",
        5,
        &["\"batch_price_percent\" is 101: it must be 0 to 100"],
    ),
    (
        "[providers.g]\nkind = \"gemini\"\n[[models]]\nname = \"g/m\"\nbatch = 1\n",
        5,
        &["must be true or false"],
    ),
    (
        "[work]\nslots = \"many\"\n",
        2,
        &["must be an integer, not a string"],
    ),
    (
        "[work]\nslots = 3.5\n",
        2,
        &["must be an integer, not a number"],
    ),
    (
        "[work]\n\npoll_ms = 99999999999999999999\n",
        3,
        &["an integer beyond 64 bits"],
    ),
    ("work = 3\n", 1, &["must be a table", "[work]"]),
    ("[database]\nmax_connections = 1\n", 2, &["2 to 100"]),
    ("[database]\nurl = \"\"\n", 2, &["is empty"]),
    (
        "[database]\npooler = \"transactions\"\n",
        2,
        &["did you mean \"transaction\""],
    ),
    ("[log]\nformat = \"jsn\"\n", 2, &["did you mean \"json\""]),
    (
        "[log]\nfilter = \"tidegate=loud\"\n",
        2,
        &["\"filter\" cannot be read"],
    ),
    (
        "[providers.g]\nknd = \"gemini\"\n",
        2,
        &["[providers.g]", "did you mean \"kind\""],
    ),
    (
        "[providers.g]\nbase_url = \"https://h\"\n",
        1,
        &["missing key \"kind\""],
    ),
    (
        "[providers.g]\nkind = \"gemni\"\n",
        2,
        &["did you mean \"gemini\""],
    ),
    (
        "[providers.g]\nkind = \"gemini\"\nbase_url = \"h/v1\"\n",
        3,
        &["no http or https URL"],
    ),
    (
        "[providers.g]\nkind = \"gemini\"\nallow_plain_http = 1\n",
        3,
        &["must be true or false"],
    ),
    (
        "[providers.\"a/b\"]\nkind = \"gemini\"\n",
        1,
        &["no name for a provider entry"],
    ),
    (
        "[models]\nname = \"g/m\"\n",
        1,
        &["must be a list of tables", "[[models]]"],
    ),
    ("[work]\nstatus_s = -1\n", 2, &["0 to 86400"]),
    (
        "[budget]\nusd_per_days = 3\n",
        2,
        &["did you mean \"usd_per_day\""],
    ),
    (
        "[budget]\nusd_per_day = 0\n",
        2,
        &["which asks nothing", "\"none\""],
    ),
    ("[budget]\nusd_per_day = -2.5\n", 2, &["not negative"]),
    (
        "[budget]\nusd_per_day = \"lots\"\n",
        2,
        &["no decimal number"],
    ),
    ("x = \n", 1, &["help: correct the TOML"]),
];

/// The same below a provider entry `g`; lines count from the one below it.
const MODEL_MISTAKES: &[(&str, usize, &[&str])] = &[
    ("rpm = 3\n", 1, &["missing key \"name\""]),
    ("name = \"m\"\n", 2, &["no model name"]),
    (
        "name = \"gg/m\"\n",
        2,
        &["provider entry \"gg\"", "did you mean \"g/m\""],
    ),
    (
        "name = \"somewhere/m\"\n",
        2,
        &["add a table [providers.somewhere]"],
    ),
    (
        "name = \"g/m\"\nrmp = 3\n",
        3,
        &["unknown key \"rmp\" in [[models]]", "\"rpm\""],
    ),
    ("name = \"g/m\"\nrpm = 0\n", 3, &["1 to 10000000"]),
    ("name = \"g/m\"\nrpm = -1\n", 3, &["is -1"]),
    (
        "name = \"g/m\"\nrpm = 3\nwindow = \"slidng\"\n",
        4,
        &["did you mean \"sliding\""],
    ),
    (
        "name = \"g/m\"\nrpm = 3\nwindow = \"bucket\"\n",
        4,
        &["needs the key \"burst\""],
    ),
    (
        "name = \"g/m\"\nrpm = 3\nburst = 2\n",
        4,
        &["only with window = \"bucket\""],
    ),
    (
        "name = \"g/m\"\nwindow = \"fixed\"\n",
        3,
        &["there is no \"rpm\""],
    ),
    (
        "name = \"g/m\"\nrpm = 3\nwindow = \"bucket\"\nburst = 4\n",
        5,
        &["more than a whole minute's 3"],
    ),
    (
        "name = \"g/m\"\ninput_price_usd = -0.5\n",
        3,
        &["not negative"],
    ),
    (
        "name = \"g/m\"\ninput_price_usd = 0.0000001\n",
        3,
        &["more than 6 decimals"],
    ),
    (
        "name = \"g/m\"\noutput_price_usd = \"cheap\"\n",
        3,
        &["no decimal number"],
    ),
    (
        "name = \"g/m\"\noutput_price_usd = inf\n",
        3,
        &["no decimal number"],
    ),
    (
        "name = \"g/m\"\noutput_tpm = 0\n",
        3,
        &["1 to 1000000000000"],
    ),
    (
        "name = \"g/m\"\ntpd = \"many\"\n",
        3,
        &["must be an integer, not a string"],
    ),
    (
        "name = \"g/m\"\ntpd = 3\nouput_tpm = 3\n",
        4,
        &["did you mean \"output_tpm\""],
    ),
    (
        "name = \"g/m\"\nshares_limits_of = \"g/n\"\n",
        3,
        &["names no model before it"],
    ),
    (
        "name = \"g/m\"\nshares_limits_of = \"g/m\"\n",
        3,
        &["names no model before it"],
    ),
    (
        "name = \"g/m\"\n[[models]]\nname = \"g/n\"\nshares_limits_of = \"g/m\"\n[[models]]\nname = \"g/o\"\nshares_limits_of = \"g/n\"\n",
        8,
        &["shares the limits of another"],
    ),
    (
        "name = \"g/m\"\n[[models]]\nname = \"g/n\"\nrpm = 3\nshares_limits_of = \"g/m\"\n",
        6,
        &["stands beside limits of its own"],
    ),
    (
        "name = \"g/m\"\n[[models]]\nname = \"h/m\"\nshares_limits_of = \"g/m\"\n[providers.h]\nkind = \"openai\"\n",
        5,
        &["another quota scope"],
    ),
    (
        "name = \"g/m\"\n[[models]]\nname = \"g/m\"\n",
        4,
        &["a second time"],
    ),
];

#[test]
fn every_mistake_names_its_line_its_key_and_what_helps() {
    for (text, line, words) in MISTAKES {
        check(text, *line, words);
    }
}

#[test]
fn every_mistake_in_a_model_names_its_line_its_key_and_what_helps() {
    let head = "[providers.g]\nkind = \"gemini\"\n";
    for (text, line, words) in MODEL_MISTAKES {
        check(&format!("{head}[[models]]\n{text}"), line + 2, words);
    }
}

fn check(text: &str, line: usize, words: &[&str]) {
    let written = Written::toml(text);
    let error = written.load(&[]).expect_err(text).to_string();
    let place = format!("{}:{line}: ", written.file().display());
    assert!(error.starts_with(&place), "{text}\n-> {error}");
    assert!(error.contains("\n  help: "), "{text}\n-> {error}");
    for word in words {
        assert!(error.contains(word), "{text}\n-> {error}\nlacks {word}");
    }
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let written = Written::toml("[work]\nslots = 3\n");
    let error = written.load(&[("TIDEGATE_WORK_SLOTS", "lots")]);
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("TIDEGATE_WORK_SLOTS: "), "{error}");
    assert!(error.contains("1 to 10000"), "{error}");
}

#[test]
fn a_variable_that_is_misspelt_is_warned_of_and_a_stranger_is_not() {
    let written = Written::toml("");
    let config = written.load(&[
        ("TIDEGATE_WORK_SLOT", "3"),
        ("TIDEGATE_PORT_8080_TCP_PROTO", "tcp"),
        ("TIDEGATE_WORKER_W_PACK__SIZE", "3"),
    ]);
    let warnings = config.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("TIDEGATE_WORK_SLOTS"), "{warnings:?}");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let missing = Written::toml("").folder.path().join("other.toml");
    let none: [(&str, &str); 0] = [];
    let env = tidegate::config::Environment::of(none);
    let error = tidegate::config::Config::load(Some(&missing), env).unwrap_err();
    assert!(error.to_string().contains("tidegate init"), "{error}");
}
