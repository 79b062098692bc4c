//! What happens in the shop, and when.
//!
//! Some rows are changed again a second or two after they came: those are the ones that a restart in the middle of a
//! merge window can lose. A row that came and went so quickly never comes back, so that each loss has one cause.

use serde_json::{Value, json};

use super::shop::{Table, row};
use super::{Fields, Source};

/// Something that is to happen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Task {
    /// The rows that exist before anything is traded: read by the connector's snapshot.
    Open,
    /// A customer buys.
    Checkout,
    /// The money arrives.
    Capture { order: i64 },
    /// The customer takes a line out of a fresh order.
    DropLine { order: i64, line: i64 },
    /// A line that stood for a while is taken out, to come back changed.
    ReplaceLine { order: i64, line: i64 },
    /// It comes back.
    RestoreLine { line: Fields },
    /// The parcel leaves.
    Ship { order: i64 },
    /// Somebody signs up.
    SignUp,
    /// A new customer follows the link in the mail.
    Verify { customer: i64 },
    /// And gets a present for it.
    Welcome { customer: i64 },
    /// An old customer's points change.
    Points,
    /// A count of some article changes.
    Stock,
}

const CUSTOMERS: i64 = 200;
const ARTICLES: i64 = 80;
const FIRST_ORDER: i64 = 1001;

/// Articles that take half of all changes of stock: hot rows.
const HOT_ARTICLES: i64 = 5;

/// Milliseconds within which a quick follow-up comes: nearly always in the same merge window of two seconds.
const QUICK: (u64, u64) = (40, 200);

/// Milliseconds after which a slow follow-up comes: often in the window after.
const SLOW: (u64, u64) = (700, 4_000);

/// Milliseconds after which a change comes that heals what a restart lost, often before it is proven. Longer than two merge
/// windows, so that it never belongs to the loss itself.
const HEALING: (u64, u64) = (5_000, 7_000);

const CITIES: [&str; 8] = ["Porto", "Lyon", "Gdansk", "Turin", "Ghent", "Malmo", "Graz", "Bilbao"];
const NAMES: [&str; 10] = ["Ana", "Bo", "Chidi", "Dana", "Emil", "Femi", "Grete", "Hugo", "Ines", "Jun"];
const METHODS: [&str; 3] = ["card", "transfer", "voucher"];

fn by_id(id: i64) -> Fields {
    row([("id", id.into())])
}

fn line_key(order: i64, line: i64) -> Fields {
    row([("order_id", order.into()), ("line_no", line.into())])
}

fn sku(article: i64) -> String {
    format!("SKU-{article:04}")
}

impl Source {
    pub(super) fn plan_opening(&mut self) {
        self.plan(0, Task::Open);
        for (at, task) in [(200, Task::Checkout), (250, Task::SignUp), (300, Task::Points), (350, Task::Stock)] {
            self.plan(at, task);
        }
    }

    pub(super) fn carry_out(&mut self, task: Task, at: u64) {
        let now = Value::from(self.connector.time(at));
        match task {
            Task::Open => self.open(&now),
            Task::Checkout => self.checkout(at, &now),
            Task::Capture { order } => self.capture(order, &now),
            Task::DropLine { order, line } => self.drop_line(order, line, &now),
            Task::ReplaceLine { order, line } => self.replace_line(order, line, at),
            Task::RestoreLine { line } => self.shop.insert(Table::OrderLines, line),
            Task::Ship { order } => {
                self.shop.update(Table::Orders, by_id(order), row([("status", "shipped".into()), ("updated_at", now)]));
            }
            Task::SignUp => self.sign_up(at, now),
            Task::Verify { customer } => {
                let set = row([("email_verified", true.into()), ("updated_at", now)]);
                self.shop.update(Table::Customers, by_id(customer), set);
            }
            Task::Welcome { customer } => {
                self.shop.update(Table::Customers, by_id(customer), row([("points", 50.into()), ("updated_at", now)]));
            }
            Task::Points => self.change_points(at, now),
            Task::Stock => self.change_stock(at, now),
        }
    }

    fn open(&mut self, now: &Value) {
        for customer in 1..=CUSTOMERS {
            let new = self.customer(customer, true, now);
            self.shop.insert(Table::Customers, new);
        }
        for article in 1..=ARTICLES {
            let on_hand = self.dice.between(200, 900);
            self.shop.insert(
                Table::Inventory,
                row([
                    ("sku", sku(article).into()),
                    ("on_hand", on_hand.into()),
                    ("reserved", 0.into()),
                    ("warehouse", (*self.dice.one_of(&CITIES)).into()),
                    ("counted_at", now.clone()),
                ]),
            );
        }
    }

    fn customer(&mut self, id: i64, verified: bool, now: &Value) -> Fields {
        let name = *self.dice.one_of(&NAMES);
        row([
            ("id", id.into()),
            ("email", format!("{}.{id}@example.com", name.to_lowercase()).into()),
            ("name", name.into()),
            ("city", if self.dice.chance(100) { Value::Null } else { (*self.dice.one_of(&CITIES)).into() }),
            ("email_verified", verified.into()),
            ("points", if verified { self.dice.between(0, 400).into() } else { 0.into() }),
            ("updated_at", now.clone()),
        ])
    }

    fn checkout(&mut self, at: u64, now: &Value) {
        self.orders += 1;
        let order = FIRST_ORDER + self.orders;
        let lines = self.dice.between(1, 4) as i64;
        let total: i64 = (1..=lines).map(|line| self.add_line(order, line, now)).sum();
        let note = if self.dice.chance(150) { Value::from("leave at the door") } else { Value::Null };
        self.shop.insert(
            Table::Orders,
            row([
                ("id", order.into()),
                ("customer_id", self.dice.between(1, CUSTOMERS as u64).into()),
                ("status", "new".into()),
                ("total_cents", total.into()),
                ("currency", "EUR".into()),
                ("note", note),
                ("placed_at", now.clone()),
                ("updated_at", now.clone()),
            ]),
        );
        self.shop.insert(
            Table::Payments,
            row([
                ("id", (order + 500_000).into()),
                ("order_id", order.into()),
                ("method", (*self.dice.one_of(&METHODS)).into()),
                ("amount_cents", total.into()),
                ("status", "authorized".into()),
                ("captured_at", Value::Null),
            ]),
        );
        self.plan_order(order, lines, at);
        let next = at + self.dice.between(160, 240);
        self.plan(next, Task::Checkout);
    }

    fn add_line(&mut self, order: i64, line: i64, now: &Value) -> i64 {
        let (article, quantity) = (self.dice.between(1, ARTICLES as u64) as i64, self.dice.between(1, 5) as i64);
        let price = self.dice.between(3, 120) as i64 * 100 + 99;
        let discount = if self.dice.chance(200) { Value::from(price / 10) } else { Value::Null };
        self.shop.insert(
            Table::OrderLines,
            row([
                ("order_id", order.into()),
                ("line_no", line.into()),
                ("sku", sku(article).into()),
                ("quantity", quantity.into()),
                ("price_cents", price.into()),
                ("discount_cents", discount),
            ]),
        );
        let key = row([("sku", sku(article).into())]);
        let reserved = self.shop.number(Table::Inventory, &key, "reserved") + quantity;
        self.shop.update(Table::Inventory, key, row([("reserved", reserved.into()), ("counted_at", now.clone())]));
        price * quantity
    }

    /// What is to happen to a new order. Lines 2 to 4 each have one fate at most.
    fn plan_order(&mut self, order: i64, lines: i64, at: u64) {
        let captured = at + if self.dice.chance(700) { self.after(QUICK) } else { self.after(SLOW) };
        self.plan(captured, Task::Capture { order });
        let express = self.dice.chance(150);
        let shipped = if express { captured + self.after(HEALING) } else { at + self.after((26_000, 40_000)) };
        self.plan(shipped, Task::Ship { order });
        let drop_last = self.dice.between(0, 999);
        if lines >= 2 && drop_last < 600 {
            let dropped = match drop_last {
                0..=299 => self.after(SLOW),
                300..=399 => self.after(QUICK),
                _ => self.after((12_000, 20_000)),
            };
            self.plan(at + dropped, Task::DropLine { order, line: lines });
        }
        if lines >= 3 && self.dice.chance(600) {
            let replaced = at + self.after((8_000, 14_000));
            self.plan(replaced, Task::ReplaceLine { order, line: 2 });
        }
    }

    fn after(&mut self, (low, high): (u64, u64)) -> u64 {
        self.dice.between(low, high)
    }

    fn capture(&mut self, order: i64, now: &Value) {
        let set = row([("status", "captured".into()), ("captured_at", now.clone())]);
        self.shop.update(Table::Payments, by_id(order + 500_000), set);
        let set = row([("status", "paid".into()), ("updated_at", now.clone())]);
        self.shop.update(Table::Orders, by_id(order), set);
    }

    fn drop_line(&mut self, order: i64, line: i64, now: &Value) {
        let Some(gone) = self.shop.delete(Table::OrderLines, line_key(order, line)) else { return };
        let number = |column: &str| gone.get(column).and_then(Value::as_i64).unwrap_or_default();
        let key = row([("sku", gone.get("sku").cloned().unwrap_or_default())]);
        let reserved = self.shop.number(Table::Inventory, &key, "reserved") - number("quantity");
        self.shop.update(Table::Inventory, key, row([("reserved", reserved.into()), ("counted_at", now.clone())]));
    }

    fn replace_line(&mut self, order: i64, line: i64, at: u64) {
        let Some(mut line) = self.shop.delete(Table::OrderLines, line_key(order, line)) else { return };
        let quantity = line.get("quantity").and_then(Value::as_i64).unwrap_or_default() + 1;
        line.insert("quantity".into(), json!(quantity));
        let back = at + self.after((500, 3_000));
        self.plan(back, Task::RestoreLine { line });
    }

    fn sign_up(&mut self, at: u64, now: Value) {
        self.customers += 1;
        let customer = CUSTOMERS + self.customers;
        let new = self.customer(customer, false, &now);
        self.shop.insert(Table::Customers, new);
        let verified = at + if self.dice.chance(600) { self.after(QUICK) } else { self.after(SLOW) };
        self.plan(verified, Task::Verify { customer });
        let welcomed = verified + self.after(HEALING);
        self.plan(welcomed, Task::Welcome { customer });
        let next = at + self.dice.between(800, 1_200);
        self.plan(next, Task::SignUp);
    }

    fn change_points(&mut self, at: u64, now: Value) {
        let key = row([("id", self.dice.between(1, CUSTOMERS as u64).into())]);
        let points = self.shop.number(Table::Customers, &key, "points") + self.dice.between(1, 20) as i64;
        self.shop.update(Table::Customers, key, row([("points", points.into()), ("updated_at", now)]));
        let next = at + self.dice.between(40, 60);
        self.plan(next, Task::Points);
    }

    fn change_stock(&mut self, at: u64, now: Value) {
        let articles = if self.dice.chance(500) { HOT_ARTICLES } else { ARTICLES };
        let key = row([("sku", sku(self.dice.between(1, articles as u64) as i64).into())]);
        let on_hand = self.shop.number(Table::Inventory, &key, "on_hand") + self.dice.between(0, 8) as i64 - 4;
        self.shop.update(Table::Inventory, key, row([("on_hand", on_hand.max(0).into()), ("counted_at", now)]));
        let next = at + self.dice.between(15, 25);
        self.plan(next, Task::Stock);
    }
}
