//! No secret is ever shown: a canary is looked for in all that can be.

use super::{Written, shown};

const CANARY: &str = "canary-4711";

#[test]
fn neither_show_nor_debug_holds_a_secret() {
    let url = format!("postgres://user:{CANARY}@h:5432/d?sslpassword={CANARY}");
    let toml = format!(
        "[database]\nurl = \"postgres://u:{CANARY}@h/d\"\n[providers.g]\nkind = \"gemini\"\napi_key_env = \"MY_KEY\"\nbase_url = \"https://u:{CANARY}@h/v1?key={CANARY}\"\n"
    );
    for vars in [
        vec![("MY_KEY", CANARY)],
        vec![("MY_KEY", CANARY), ("DATABASE_URL", &url)],
    ] {
        let config = Written::toml(&toml)
            .load_with(&format!("OTHER={CANARY}\n"), &vars)
            .unwrap();
        for it in config.show() {
            assert!(!format!("{it:?}").contains(CANARY), "{it:?}");
        }
        assert_eq!(shown(&config, "providers.g.api_key").0, "set");
        for (_, settings) in config.provider_settings() {
            assert!(!format!("{settings:?}").contains(CANARY));
        }
        assert!(!config.warnings.concat().contains(CANARY));
    }
}

#[test]
fn a_debug_print_of_the_configuration_holds_no_key_and_no_password() {
    let config = Written::toml("").load(&[
        ("GEMINI_API_KEY", CANARY),
        ("DATABASE_URL", &format!("postgres://u:{CANARY}@h/d")),
    ]);
    let text = format!("{:?}", config.unwrap());
    assert!(!text.contains(CANARY), "{text}");
}

#[test]
fn a_key_written_where_its_variables_name_belongs_is_not_repeated() {
    let toml = format!("[providers.g]\nkind = \"gemini\"\napi_key_env = \"{CANARY}\"\n");
    let error = Written::toml(&toml).load(&[]).unwrap_err().to_string();
    assert!(error.contains("not the key itself"), "{error}");
    assert!(!error.contains(CANARY), "{error}");
}

#[test]
fn a_line_of_dot_env_that_cannot_be_read_is_not_repeated() {
    let dot_env = format!("FINE=1\nBROKEN='{CANARY}\n");
    let error = Written::toml("")
        .load_with(&dot_env, &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains(".env:2"), "{error}");
    assert!(!error.contains(CANARY), "{error}");
}
