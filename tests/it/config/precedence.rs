//! Which value wins, and what the rooms are told.

use tidegate::config::{EntryError, LogFormat};
use tidegate::provider::Kind;

use super::{Written, shown};

const TWO: &str = r#"
[providers.gemini]
kind = "gemini"
quota_scope = "project-1"
[providers.oa]
kind = "openai"
api_key_env = "OA_KEY"
[[models]]
name = "gemini/gemini-3.5-flash-lite"
rpm = 15
tpm = 250_000
rpd = 20
window = "bucket"
burst = 3
max_concurrency = 8
input_price_usd = 0.3
output_price_usd = "2.50"
[[models]]
name = "oa/gpt-5-nano"
input_price_usd = 0.05
"#;

#[test]
fn the_environment_wins_over_dot_env_over_the_file_over_the_default() {
    let written = Written::toml("[work]\nslots = 4\npoll_ms = 400\nlease_s = 44\n");
    let config = written
        .load_with(
            "TIDEGATE_WORK_SLOTS=3\nTIDEGATE_WORK_POLL_MS=300\n",
            &[("TIDEGATE_WORK_SLOTS", "2")],
        )
        .unwrap();
    let file = written.file().display().to_string();
    for (key, value, origin) in [
        (
            "work.slots",
            "2",
            "environment TIDEGATE_WORK_SLOTS".to_owned(),
        ),
        (
            "work.poll_ms",
            "300",
            ".env TIDEGATE_WORK_POLL_MS".to_owned(),
        ),
        ("work.lease_s", "44", format!("{file}:4")),
        ("work.grace_s", "25", "default".to_owned()),
    ] {
        assert_eq!(shown(&config, key), (value.to_owned(), origin), "{key}");
    }
}

#[test]
fn a_flag_wins_over_everything() {
    let written = Written::toml("[database]\nurl = \"postgres://file/d\"\n");
    let config = written
        .load(&[("DATABASE_URL", "postgres://env/d")])
        .unwrap();
    let env = shown(&config, "database.url");
    assert_eq!(
        env,
        (
            "postgres://env/d".to_owned(),
            "environment DATABASE_URL".to_owned()
        )
    );
    let config = config.with_database_url(Some("postgres://flag/d"));
    let flag = shown(&config, "database.url");
    assert_eq!(
        flag,
        ("postgres://flag/d".to_owned(), "--database-url".to_owned())
    );
}

#[test]
fn the_programs_own_variable_wins_over_the_usual_one() {
    let config = Written::toml("").load(&[
        ("DATABASE_URL", "postgres://usual/d"),
        ("TIDEGATE_DATABASE_URL", "postgres://own/d"),
    ]);
    assert_eq!(
        shown(&config.unwrap(), "database.url").0,
        "postgres://own/d"
    );
}

#[test]
fn an_empty_variable_is_unset_and_hides_dot_env() {
    let written = Written::toml("");
    let config = written.load_with("DATABASE_URL=postgres://h/d\n", &[("DATABASE_URL", "")]);
    assert!(config.unwrap().database_url().is_none());
}

#[test]
fn a_url_in_the_file_works_and_is_warned_of() {
    let config = Written::toml("[database]\nurl = \"postgres://h/d\"\n")
        .load(&[])
        .unwrap();
    assert!(config.database_url().is_some());
    assert!(
        config.warnings[0].contains("DATABASE_URL"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn models_reach_the_database_as_they_were_written() {
    let config = Written::toml(TWO).load(&[]).unwrap();
    let models = config.models();
    let lite = &models[0];
    assert_eq!(
        (lite.rpm, lite.tpm, lite.rpd),
        (Some(15), Some(250_000), Some(20))
    );
    assert_eq!((lite.counting, lite.burst), (Some("bucket"), Some(3)));
    assert_eq!(lite.max_concurrency, Some(8));
    assert_eq!(lite.input_price_microusd, Some(300_000));
    assert_eq!(lite.output_price_microusd, Some(2_500_000));
    assert_eq!(
        (models[1].rpm, models[1].output_price_microusd),
        (None, None)
    );

    let providers = config.providers();
    assert_eq!(providers[0].quota_scope, "project-1");
    assert_eq!(providers[0].day_zone, "America/Los_Angeles");
    assert_eq!(
        (
            providers[1].quota_scope.as_str(),
            providers[1].day_zone.as_str()
        ),
        ("oa", "UTC")
    );
}

#[test]
fn limits_of_output_of_a_day_and_of_another_name_are_read_set_and_shown() {
    let text = format!(
        "{TWO}output_tpm = 1_000\ntpd = 2_000\n[[models]]\nname = \"oa/gpt-5-nano-2026\"\nshares_limits_of = \"oa/gpt-5-nano\"\n[budget]\nusd_per_day = 20\n"
    );
    let written = Written::toml(&text);
    let config = written
        .load(&[
            ("TIDEGATE_MODELS_OA_GPT_5_NANO_OUTPUT_TPM", "1500"),
            ("TIDEGATE_BUDGET_USD_PER_DAY", "none"),
        ])
        .unwrap();
    let models = config.models();
    assert_eq!(
        (
            models[1].output_tpm,
            models[1].tpd,
            models[2].shares.as_deref()
        ),
        (Some(1_500), Some(2_000), Some("gpt-5-nano"))
    );
    for (key, value, origin) in [
        (
            "models.oa/gpt-5-nano.output_tpm",
            "1500",
            "environment TIDEGATE_MODELS_OA_GPT_5_NANO_OUTPUT_TPM",
        ),
        (
            "budget.usd_per_day",
            "none",
            "environment TIDEGATE_BUDGET_USD_PER_DAY",
        ),
        ("work.status_s", "60", "default"),
    ] {
        let expected = (value.to_owned(), origin.to_owned());
        assert_eq!(shown(&config, key), expected, "{key}");
    }
    let shares = shown(&config, "models.oa/gpt-5-nano-2026.shares_limits_of");
    assert_eq!(shares.0, "oa/gpt-5-nano");
    assert_eq!(shown(&config, "models.oa/gpt-5-nano.tpd").0, "2000");
    let plain = Written::toml("").load(&[]).unwrap();
    assert_eq!(shown(&plain, "budget.usd_per_day").0, "(not said)");
    let off = Written::toml("[work]\nstatus_s = 0\n").load(&[]).unwrap();
    assert_eq!(
        (off.work.status(), off.budget.per_day_microusd.is_none()),
        (None, true)
    );
}

#[test]
fn a_models_hash_changes_when_its_entry_does_and_only_then() {
    let hashes = |text: &str, vars: &[(&str, &str)]| {
        let models = Written::toml(text).load(vars).unwrap().models();
        models.into_iter().map(|it| it.hash).collect::<Vec<_>>()
    };
    let first = hashes(TWO, &[]);
    assert_eq!(
        first,
        hashes(
            &format!("# a comment\n{TWO}"),
            &[("TIDEGATE_WORK_SLOTS", "3")]
        )
    );
    let changed = hashes(&TWO.replace("rpm = 15", "rpm = 16"), &[]);
    assert_ne!(first[0], changed[0]);
    assert_eq!(first[1], changed[1]);
    let scoped = hashes(&TWO.replace("project-1", "project-2"), &[]);
    assert_ne!(
        first[0], scoped[0],
        "its limits live under another scope now"
    );
}

#[test]
fn a_named_entry_is_set_by_its_name() {
    let config = Written::toml(TWO)
        .load(&[
            ("TIDEGATE_MODELS_GEMINI_GEMINI_3_5_FLASH_LITE_RPM", "60"),
            (
                "TIDEGATE_PROVIDERS_GEMINI_BASE_URL",
                "http://127.0.0.1:1/v1beta",
            ),
        ])
        .unwrap();
    assert_eq!(config.models()[0].rpm, Some(60));
    assert_eq!(config.providers()[0].base_url, "http://127.0.0.1:1/v1beta");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn without_entries_a_key_in_the_environment_is_one() {
    let config = Written::toml("").load(&[("GEMINI_API_KEY", "k")]).unwrap();
    let names: Vec<_> = config.providers().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["gemini"]);
    let (entry, settings) = config.provider_settings().remove(0);
    assert_eq!(entry, "gemini");
    assert!(settings.is_ok());
    assert!(Written::toml("").load(&[]).unwrap().providers().is_empty());
}

#[test]
fn an_entry_without_its_key_names_the_variable() {
    let config = Written::toml(TWO).load(&[]).unwrap();
    let settings = config.provider_settings();
    let error = settings[0].1.as_ref().unwrap_err();
    assert_eq!(
        error,
        &EntryError::MissingKey {
            entry: "gemini".to_owned(),
            variable: "GEMINI_API_KEY".to_owned()
        }
    );
    let error = settings[1].1.as_ref().unwrap_err().to_string();
    assert!(error.contains("OA_KEY"), "{error}");
}

#[test]
fn an_entry_of_either_kind_is_opened_with_its_key() {
    let config = Written::toml(TWO)
        .load(&[("GEMINI_API_KEY", "g"), ("OA_KEY", "o")])
        .unwrap();
    let kinds: Vec<_> = config
        .provider_settings()
        .into_iter()
        .map(|(entry, settings)| (entry, settings.unwrap().kind))
        .collect();
    let expected = [("gemini", Kind::Gemini), ("oa", Kind::OpenAi)];
    assert_eq!(
        kinds,
        expected.map(|(entry, kind)| (entry.to_owned(), kind))
    );
}

#[test]
fn a_workers_overrides_come_from_variables_of_its_name() {
    let config = Written::toml("")
        .load(&[
            ("TIDEGATE_WORKER_ENTITY_EXTRACTION_TIER__0__MODEL", "g/m"),
            ("TIDEGATE_WORKER_ENTITY_EXTRACTION__PACK__SIZE", "3"),
            ("TIDEGATE_WORKER_ENTITY_EXTRACTION_VERSION", "2"),
            ("TIDEGATE_WORKER_OTHER_VERSION", "9"),
        ])
        .unwrap();
    let pairs = [
        ("pack.size", "3"),
        ("tier.0.model", "g/m"),
        ("version", "2"),
    ];
    let expected: Vec<_> = pairs
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .into();
    assert_eq!(config.worker_overrides("entity_extraction"), expected);
    assert_eq!(config.worker_overrides("entity-extraction"), expected);
    assert!(config.worker_overrides("none").is_empty());
}

#[test]
fn the_private_postgres_is_told_where_it_lives() {
    for name in ["TIDEGATE_LOCAL_DIR", "TIDEGATE_DATA_DIR"] {
        let config = Written::toml("").load(&[(name, "/srv/t"), ("TIDEGATE_PG_BIN", "/pg")]);
        let settings = config.unwrap().local_settings();
        assert_eq!(settings.data_dir, Some("/srv/t".into()), "{name}");
        assert_eq!(settings.bin_dir, Some("/pg".into()));
    }
    let config = Written::toml("[local]\ndir = \"/srv/f\"\n")
        .load(&[])
        .unwrap();
    assert_eq!(config.local_settings().data_dir, Some("/srv/f".into()));
}

#[test]
fn the_log_is_told_its_shape() {
    let config = Written::toml("[log]\nformat = \"json\"\n")
        .load(&[])
        .unwrap();
    assert_eq!(config.log.format.value, LogFormat::Json);
    assert_eq!(config.log.filter.value, "warn,tidegate=info");
}

#[test]
fn batches_are_looked_after_as_the_file_says() {
    let config = Written::toml("").load(&[]).unwrap();
    let default = tidegate::engine::BatchSettings::default();
    assert_eq!(config.batches.to_engine(), default);
    let config = Written::toml("[batches]\npoll_s = 90\nlookup_s = 7\n")
        .load(&[("TIDEGATE_BATCHES_LOOKUP_S", "8")])
        .unwrap();
    let told = config.batches.to_engine();
    // the longest pause is not below the least
    assert_eq!(
        [told.poll, told.poll_max, told.lookup].map(|it| it.as_secs()),
        [90, 90, 8]
    );
    assert_eq!(shown(&config, "batches.poll_s").0, "90");
}

#[test]
fn batch_modes_of_the_file_are_told_to_the_database() {
    let more = "batch = false\nbatch_price_percent = 60\nbatch_enqueued_tokens = 2_000_000\n";
    let provider = "[providers.oa]\nkind = \"openai\"\nbatch_jobs = 7\n";
    let written = Written::toml(&format!(
        "{provider}[[models]]\nname = \"oa/m\"\n{more}[[models]]\nname = \"oa/n\"\n"
    ));
    let config = written.load(&[]).unwrap();
    assert_eq!(config.providers()[0].batch_jobs, Some(7));
    let rows = config.models();
    let batch = |row: &tidegate::store::model::ModelRow| {
        let tokens = row.batch_enqueued_tokens;
        (row.batch, row.batch_price_percent, tokens)
    };
    assert_eq!(batch(&rows[0]), (Some(false), Some(60), Some(2_000_000)));
    assert_eq!(batch(&rows[1]), (None, None, None));
    let other = written.load(&[("TIDEGATE_MODELS_OA_M_BATCH", "true")]);
    let changed = other.unwrap().models();
    assert_ne!(changed[0].hash, rows[0].hash);
    assert_eq!(changed[1].hash, rows[1].hash);
}
