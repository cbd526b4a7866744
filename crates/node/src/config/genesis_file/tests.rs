use bezant_types::SecretKey;

use super::*;

fn key(seed: u8) -> AccountId {
    SecretKey::from_seed([seed; 32]).account()
}

/// A file of which each line is known: replica i's key stands in line 4i + 4, its address in the next.
fn sample() -> String {
    let mut text = "name = \"test\"\n\n".to_owned();
    for id in 0..4u8 {
        let _ = write!(text, "[[replica]]\nkey = \"{}\"\naddress = \"127.0.0.1:740{id}\"\n\n", key(id));
    }
    let _ = write!(text, "[[client]]\nname = \"alice\"\nkey = \"{}\"\nrole = \"write\"\nbalance = 100\n\n", key(9));
    let _ = write!(text, "[[client]]\nname = \"bob\"\nkey = \"{}\"\nrole = \"read\"\n\n", key(10));
    let _ = write!(text, "[[balance]]\naccount = \"{}\"\namount = 7\n\n", key(11));
    text.push_str("[protocol]\nwindow = 512\nmax_value_bytes = \"64 KiB\"\nrequest_timeout_ms = \"3 s\"\n");
    text
}

fn read(text: &str) -> Result<Genesis, String> {
    parse(&Document::new(Path::new("genesis.toml"), text.to_owned())).map_err(|error| error.to_string())
}

fn line_of(text: &str, needle: &str) -> usize {
    text.lines().count() - text.lines().rev().position(|line| line.contains(needle)).unwrap()
}

#[test]
fn a_file_says_who_belongs_and_what_holds() {
    let genesis = read(&sample()).unwrap();
    assert_eq!(genesis.replicas().len(), 4);
    assert_eq!(genesis.replicas()[2].key, key(2));
    assert_eq!(genesis.clients()[0].role, Role::Write);
    assert_eq!(genesis.supply(), Amount::new(107));
    assert_eq!(genesis.parameters().max_value_bytes, 64 << 10);
    assert_eq!(genesis.parameters().request_timeout_ms, 3000);
    assert_eq!(genesis.parameters().pipeline, Parameters::standard().pipeline, "left out, so standard");
}

#[test]
fn what_is_written_reads_back_as_the_same_network() {
    let genesis = read(&sample()).unwrap();
    let text = to_text(&genesis);
    let again = read(&text).unwrap();
    assert_eq!(again.digest(), genesis.digest(), "{text}");
    assert_eq!(to_text(&again), text);
}

#[test]
fn odd_values_survive_writing() {
    let odd = Parameters { max_state_bytes: u64::MAX, max_clock_skew_ms: 61_001, ..Parameters::standard() };
    let base = read(&sample()).unwrap();
    let rich = vec![Grant { account: key(9), amount: Amount::new(u64::MAX) }];
    let mut replicas = base.replicas().to_vec();
    replicas[0].address = "a \"quoted\" \\ host:1".into();
    let genesis = Genesis::new("x".into(), replicas, base.clients().to_vec(), rich, odd).unwrap();
    assert_eq!(read(&to_text(&genesis)).unwrap().digest(), genesis.digest());
}

#[test]
fn every_mistake_is_named_with_its_line_and_a_remedy() {
    let good = sample();
    let k = |seed| key(seed).to_string();
    let fees = || AccountId::FEES.to_string();
    // What is changed into what; what stands last in the line that is to blame; the words.
    let cases: [(&str, String, String, &str); 21] = [
        (&k(2), k(1), k(1), "appears twice: each replica and each client needs a key of its own. Make another"),
        (&k(10), k(3), k(3), "appears twice"),
        ("7402", "7401".into(), "7401".into(), "the address 127.0.0.1:7401 appears twice. Give each"),
        ("127.0.0.1:7403", "localhost".into(), "localhost".into(), "not of the form host:port. Write it like"),
        (&k(1), "abc".into(), "abc".into(), "not a public key: expected 64 hexadecimal digits, found 3 characters"),
        (&k(1), "zz".repeat(32), "zzzz".into(), "not all of them hexadecimal"),
        (&k(1), fees(), fees(), "is not an Ed25519 public key. Put in"),
        ("\"bob\"", "\"alice\"".into(), "\"alice\"".into(), "the client name \"alice\" appears twice"),
        ("\"bob\"", "\"bob b\"".into(), "bob b".into(), "letters, digits"),
        (&k(11), k(9), k(9), "is given twice. Keep one"),
        (&k(11), fees(), fees(), "fee account cannot start with a balance. Remove"),
        ("amount = 7", format!("amount = \"{}\"", u64::MAX), k(11), "add up to more than"),
        ("balance = 100", "balance = -100".into(), "-100".into(), "a whole amount"),
        ("window = 512", "window = 10".into(), "window = 10".into(), "window must be at least twice"),
        ("window = 512", "checkpoint_interval = 200".into(), "checkpoint_interval".into(), "at least twice"),
        ("window = 512", "widnow = 512".into(), "widnow".into(), "unknown field `widnow`. Did you mean `window`?"),
        ("\"64 KiB\"", "\"64 KB\"".into(), "64 KB".into(), "like \"4 MiB\""),
        ("\"64 KiB\"", "\"64 GiB\"".into(), "64 GiB".into(), "larger than any such value"),
        ("role = \"read\"", "role = \"raed\"".into(), "raed".into(), "Did you mean `read`?"),
        ("role = \"read\"\n", String::new(), "[[client]]".into(), "missing field `role`. Add it"),
        ("[[client]]", "[[clients]]".into(), "[[clients]]".into(), "Did you mean `client`?"),
    ];
    for (from, to, blamed, words) in cases {
        let bad = good.replacen(from, &to, 1);
        let found = read(&bad).unwrap_err();
        assert!(found.contains(words), "{from:?} -> {to:?}: {found:?} is without {words:?}");
        let place = format!("genesis.toml:{}:", line_of(&bad, &blamed));
        assert!(found.starts_with(&place), "{from:?} -> {to:?}: {found:?} does not start with {place:?}:\n{bad}");
    }
}

#[test]
fn too_few_replicas_are_explained() {
    let good = sample();
    let start = good.find("[[replica]]").unwrap();
    let second = start + 1 + good[start + 1..].find("[[replica]]").unwrap();
    let three = format!("{}{}", &good[..start], &good[second..]);
    assert!(read(&three).unwrap_err().contains("3 replicas: at least 4 are needed so that one may be malicious"));
    assert!(read("name = \"empty\"\n").unwrap_err().starts_with("genesis.toml:1: 0 replicas"));
}

#[test]
fn a_missing_file_says_where_to_get_one() {
    let words = read_genesis(Path::new("/nowhere/genesis.toml")).unwrap_err().to_string();
    assert!(words.contains("/nowhere/genesis.toml: there is no such file. Copy the genesis.toml"), "{words}");
}
