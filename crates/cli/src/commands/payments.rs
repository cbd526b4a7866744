//! `bezant transfer` and `balance`: money.

use std::process::ExitCode;

use anyhow::bail;
use bezant_types::transaction::Answer;
use bezant_types::{Amount, Operation};
use serde::Serialize;

use crate::connect::ClientArguments;
use crate::print::StyleArguments;
use crate::text;

/// Pay from your account
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant transfer bob 25                  from the client `cli`
  bezant transfer bob 25 --as alice

Amounts are whole numbers of the smallest unit. A payment that the account does not cover changes
nothing.")]
pub(crate) struct Transfer {
    /// To whom: the name of a client, or the 64 hexadecimal digits of an account
    to: String,
    /// How much
    #[arg(value_parser = parse_amount, allow_negative_numbers = true)]
    amount: Amount,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

/// Print what an account holds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant balance                          of the client `cli`
  bezant balance alice")]
pub(crate) struct Balance {
    /// Whose: the name of a client, or the 64 hexadecimal digits of an account [default: your own]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

#[derive(Serialize)]
struct Paid {
    from: String,
    to: String,
    units: u64,
    left: u64,
}

#[derive(Serialize)]
struct Holding {
    name: String,
    account: String,
    units: u64,
}

impl Transfer {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let (from, to) = (session.client.account(), session.find_account(&self.to)?);
        let pay = Operation::Transfer { to, amount: self.amount };
        let answers = session.execute_all(vec![pay, Operation::Balance { account: from }]).await?;
        let left = balance_of(answers.last())?;
        let paid = Paid {
            from: session.name_of(from),
            to: session.name_of(to),
            units: self.amount.units(),
            left: left.units(),
        };
        session.close().await;
        self.style.style().print(&paid, |paid| {
            let Paid { from, to, units, left } = paid;
            format!("{from} paid {} to {to}, and has {} left", text::amount(*units), text::amount(*left))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Balance {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let account = match &self.account {
            Some(text) => session.find_account(text)?,
            None => session.client.account(),
        };
        let answer = session.execute(Operation::Balance { account }).await?;
        let units = balance_of(Some(&answer))?.units();
        let holding = Holding { name: session.name_of(account), account: account.to_string(), units };
        session.close().await;
        self.style
            .style()
            .print(&holding, |holding| format!("{} has {}", holding.name, text::amount(holding.units)))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn balance_of(answer: Option<&Answer>) -> anyhow::Result<Amount> {
    match answer {
        Some(Answer::Balance(amount)) => Ok(*amount),
        other => bail!("the group answered {other:?} where a balance was asked for: this is a fault of Bezant"),
    }
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    let most = text::thousands(u64::MAX);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let units =
            text.parse().map_err(|_| format!("this is more than there can be: an amount is at most {most} units"))?;
        return Ok(Amount::new(units));
    }
    Err(format!("an amount is a whole number of units, from 0 to {most}, written in digits alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_that_fits() {
        assert_eq!(parse_amount("25"), Ok(Amount::new(25)));
        assert_eq!(parse_amount(&u64::MAX.to_string()), Ok(Amount::new(u64::MAX)));
        assert!(parse_amount("18446744073709551616").unwrap_err().contains("more than there can be"));
        for text in ["", "-1", "1.5", "1e3", "+1", "12 units"] {
            assert!(parse_amount(text).unwrap_err().contains("whole number"), "{text}");
        }
    }
}
