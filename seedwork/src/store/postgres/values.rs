//! Values on their way to the server and back.

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::*;

type Failed = Box<dyn std::error::Error + Sync + Send>;

/// Bytes that are UTF-8, as all JSON is that this process wrote or checked: bound as TEXT without another look at them.
#[derive(Debug)]
pub(super) struct Text<'a>(pub &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        out.put_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TEXT
    }

    to_sql_checked!();
}

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) if *of == Type::INT8 => number.to_sql(of, out),
            Value::Integer(number) if *of == Type::INT4 => i32::try_from(*number)?.to_sql(of, out),
            Value::Integer(number) if *of == Type::INT2 => i16::try_from(*number)?.to_sql(of, out),
            Value::Text(text) if *of == Type::TEXT || *of == Type::VARCHAR || *of == Type::UNKNOWN => {
                storable(text).as_ref().to_sql(of, out)
            }
            Value::Integer(_) | Value::Text(_) => Err(format!("{self:?} where {of} is wanted").into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::INT2, Type::TEXT, Type::VARCHAR, Type::UNKNOWN].contains(of)
    }

    to_sql_checked!();
}

/// A row of a query's, as both engines tell it.
pub(super) fn cells(row: &Row) -> Result<Vec<Value>, String> {
    let cell = |(place, column): (usize, &tokio_postgres::Column)| {
        let failed = |error: tokio_postgres::Error| trouble::words(&error);
        Ok(match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(place).map_err(failed)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(place).map_err(failed)?.map(i64::from).into(),
            Type::INT2 => row.try_get::<_, Option<i16>>(place).map_err(failed)?.map(i64::from).into(),
            Type::BOOL => row.try_get::<_, Option<bool>>(place).map_err(failed)?.map(i64::from).into(),
            Type::TEXT | Type::VARCHAR | Type::NAME => row.try_get::<_, Option<String>>(place).map_err(failed)?.into(),
            Type::BYTEA => {
                let bytes = row.try_get::<_, Option<&[u8]>>(place).map_err(failed)?;
                bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).into()
            }
            ref other => return Err(format!("column {:?} has type {other}: queries give TEXT and BIGINT", column.name())),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

/// A text that PostgreSQL can store. A NUL is the one character that it cannot: in what somebody else wrote, it becomes U+FFFD.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
