//! What the command line takes and refuses before anything is opened.

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use crate::{
    cli::{Cli, Command},
    commands::tenant::arguments::{MappingOptions, Verb},
};

const OIDC: &str = "tenant connect-oidc acme okta --preset okta --issuer https://a.okta.com --client-id x";

fn parsed(typed: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("sallyport").chain(typed.split_whitespace()))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_configuration_and_json_may_stand_anywhere() {
    for typed in ["tenant --config f --json list", "tenant list --json --config f"] {
        let Command::Tenant(tenant) = parsed(typed).unwrap().command else { panic!() };
        assert!(tenant.manner.json && tenant.manner.config.as_os_str() == "f", "{typed}");
    }
    let Command::Contain(contain) = parsed("contain user ann --tenant acme --json").unwrap().command else { panic!() };
    assert!(contain.manner.json);
}

#[test]
fn what_contradicts_itself_or_is_half_said_is_usage() {
    use ErrorKind::{
        ArgumentConflict as Conflict, InvalidValue, MissingRequiredArgument as Missing, UnknownArgument,
        ValueValidation,
    };
    for (typed, kind) in [
        (OIDC.to_owned(), Missing),
        (format!("{OIDC} --client-secret-env S --private-key-jwt"), Conflict),
        (format!("{OIDC} --private-key-jwt --scim-match sub=userName --no-scim-match"), Conflict),
        (format!("{OIDC} --private-key-jwt --scim-match sub=email"), ValueValidation),
        (format!("{OIDC} --private-key-jwt --scim-match =userName"), ValueValidation),
        (format!("{OIDC} --private-key-jwt --rename-group a"), ValueValidation),
        (format!("{OIDC} --private-key-jwt --rename-group =b"), ValueValidation),
        (format!("{OIDC} --private-key-jwt --max-age-seconds 5"), ValueValidation),
        (format!("{OIDC} --private-key-jwt --mfa-acr c1"), Missing),
        (format!("{OIDC} --client-secret hunter2"), UnknownArgument),
        (OIDC.replace("--preset okta", "--preset auth0"), InvalidValue),
        ("tenant connect-saml acme saml".to_owned(), Missing),
        ("tenant connect-saml acme saml --metadata-url https://idp.example/m".to_owned(), Missing),
        (
            "tenant connect-saml acme saml --metadata f --metadata-url https://i.example --entity-id e".to_owned(),
            Conflict,
        ),
        ("tenant show ACME".to_owned(), ValueValidation),
        ("tenant create beta".to_owned(), Missing),
        ("tenant set acme".to_owned(), Missing),
        ("tenant set acme --access-token-seconds -1".to_owned(), UnknownArgument),
        ("tenant set acme --federated-only perhaps".to_owned(), InvalidValue),
        ("tenant domain verify acme a.example --by-operator --name-server 127.0.0.1:53".to_owned(), Conflict),
        ("tenant domain verify acme acme.example --dns".to_owned(), UnknownArgument),
        ("tenant preview acme okta --user ann --asserted f".to_owned(), Conflict),
        ("tenant scim-token add acme okta --expires-days 0".to_owned(), ValueValidation),
        ("contain tenant acme --tenant acme".to_owned(), UnknownArgument),
    ] {
        assert_eq!(parsed(&typed).expect_err(&typed).kind(), kind, "{typed}");
    }
}

#[test]
fn mapping_options_are_repeated_or_given_once() {
    let typed =
        "tenant set-mapping acme okta --admit-group a --admit-group b --rename-group 0af3=ops --email-claim upn";
    let Command::Tenant(tenant) = parsed(typed).unwrap().command else { panic!() };
    let Verb::SetMapping { mapping, reset: false, .. } = tenant.verb else { panic!() };
    let MappingOptions { admit_groups, rename_groups, email_claims, .. } = *mapping;
    assert_eq!((admit_groups, email_claims), (vec!["a".to_owned(), "b".to_owned()], vec!["upn".to_owned()]));
    assert_eq!(rename_groups, [("0af3".to_owned(), "ops".to_owned())]);
}
