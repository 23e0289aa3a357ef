//! The tables that a database lists, as far as an honest one has them: what makes a table is far larger once it is taken apart.

use super::table;

/// What is taken apart of what made all the tables, and how many tables there are.
const MAX_SQL_BYTES: usize = 1 << 20;
const MAX_TABLES: usize = 1 << 16;

/// Most columns that SQLite can be built to allow a table.
pub(super) const MAX_COLUMNS: usize = 32_767;

#[derive(Default)]
pub(super) struct Tables {
    /// The page where each starts, and the names of the values in its rows.
    pub(super) known: Vec<(u32, Vec<Vec<u8>>)>,
    /// Whether there was more than is taken, so that tables or names of columns are missing.
    pub(super) is_cut: bool,
    sql_bytes: usize,
}

impl Tables {
    /// Adds the table that `sql` makes. Of one whose order is too much, the rows are still read, without names.
    pub(super) fn add(&mut self, page: u32, sql: &[u8]) {
        if self.known.len() >= MAX_TABLES {
            self.is_cut = true;
            return;
        }
        let bytes = self.sql_bytes.saturating_add(sql.len());
        let mut columns = Vec::new();
        if bytes <= MAX_SQL_BYTES {
            self.sql_bytes = bytes;
            columns = table::columns(sql);
        } else {
            self.is_cut = true;
        }
        self.is_cut |= columns.len() > MAX_COLUMNS;
        columns.truncate(MAX_COLUMNS);
        self.known.push((page, columns));
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_COLUMNS, MAX_SQL_BYTES, MAX_TABLES, Tables};

    /// How many columns each table has, and whether something is missing.
    fn added(orders: &[String]) -> (Vec<usize>, bool) {
        let mut tables = Tables::default();
        orders.iter().for_each(|sql| tables.add(2, sql.as_bytes()));
        (tables.known.iter().map(|(_, columns)| columns.len()).collect(), tables.is_cut)
    }

    fn order(columns: usize) -> String {
        format!("CREATE TABLE t ({}z)", "a,".repeat(columns - 1))
    }

    #[test]
    fn no_table_has_more_columns_than_can_be() {
        assert_eq!(added(&[order(MAX_COLUMNS)]), (vec![MAX_COLUMNS], false));
        assert_eq!(added(&[order(MAX_COLUMNS + 1)]), (vec![MAX_COLUMNS], true));
        // A key of as many columns, each of which is looked for in it.
        let keyed =
            format!("CREATE TABLE t ({}PRIMARY KEY({}c)) WITHOUT ROWID", "a,".repeat(200_000), "b,".repeat(200_000));
        assert_eq!(added(&[keyed]), (vec![MAX_COLUMNS], true));
    }

    #[test]
    fn tables_beyond_the_bound_have_no_names() {
        let large = order(MAX_SQL_BYTES / 2);
        assert_eq!(added(&[large.clone(), order(3)]), (vec![0, 3], true), "one");
        let half = format!("CREATE TABLE t (a, b) -- {}", " ".repeat(MAX_SQL_BYTES / 2));
        assert_eq!(added(&[half.clone(), half, order(3)]), (vec![2, 0, 3], true), "all together");
        let (columns, is_cut) = added(&vec![order(1); MAX_TABLES + 1]);
        assert_eq!((columns.len(), is_cut), (MAX_TABLES, true));
    }
}
