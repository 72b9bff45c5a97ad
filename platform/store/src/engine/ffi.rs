//! The C API of `libchdb.so` behind safe types: the loaded library, a connection, a result and the two kinds of
//! stream. Nothing outside this file calls C.
#![allow(unsafe_code, reason = "the engine's C API has no other door")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    path::Path,
    ptr, slice,
    sync::Arc,
};

use super::EngineError;

type Handle = *mut c_void;
type QueryWithParams = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Handle;

/// `chdb_query_analysis_v1` of `chdb.h`.
#[repr(C)]
#[derive(Debug, Default)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// What a statement does to state that outlives it, as the engine's parser decides (`chdb_query_class`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementClass {
    ReadOnly,
    Mutating,
    /// `SET`, `USE`, `SYSTEM`, `KILL`, …: session-scoped or about the engine itself.
    Control,
    /// The text does not parse; running it yields the engine's own error.
    Unknown,
}

/// The symbols of `libchdb.so` that this crate calls.
pub struct Library {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: QueryWithParams,
    stream_query: QueryWithParams,
    stream_fetch: unsafe extern "C" fn(Handle, Handle) -> Handle,
    stream_cancel: unsafe extern "C" fn(Handle, Handle),
    destroy_result: unsafe extern "C" fn(Handle),
    stream_insert: QueryWithParams,
    append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(Handle) -> Handle,
    cancel_insert: unsafe extern "C" fn(Handle),
    insert_error: unsafe extern "C" fn(Handle) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(Handle),
    buffer: unsafe extern "C" fn(Handle) -> *mut c_char,
    length: unsafe extern "C" fn(Handle) -> usize,
    rows_read: unsafe extern "C" fn(Handle) -> u64,
    storage_rows_read: unsafe extern "C" fn(Handle) -> u64,
    storage_bytes_read: unsafe extern "C" fn(Handle) -> u64,
    rows_written: unsafe extern "C" fn(Handle) -> u64,
    bytes_written: unsafe extern "C" fn(Handle) -> u64,
    bytes_read: unsafe extern "C" fn(Handle) -> u64,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    classify:
        unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int,
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    shutdown: unsafe extern "C" fn() -> c_int,
    /// Kept so that the symbols above stay mapped. Never unmapped: threads that have called into the engine run its thread-local destructors when they end.
    _mapping: std::mem::ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Maps the library into this process and looks up every symbol.
    pub fn load(path: &Path) -> Result<Arc<Self>, EngineError> {
        let unusable = |error: &libloading::Error| EngineError::LibraryUnusable {
            path: path.to_owned(),
            message: error.to_string(),
        };
        // SAFETY: the operator names the file; libchdb's initialisers need nothing from us.
        let mapping = unsafe { libloading::Library::new(path) }.map_err(|error| unusable(&error))?;
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the field's type is the function's signature in chdb.h 26.7.
                *unsafe { mapping.get(concat!($name, "\0").as_bytes()) }.map_err(|error| unusable(&error))?
            };
        }
        let library = Self {
            connect: symbol!("chdb_connect"),
            close: symbol!("chdb_close_conn"),
            query: symbol!("chdb_query_with_params_n"),
            stream_query: symbol!("chdb_stream_query_with_params_n"),
            stream_fetch: symbol!("chdb_stream_fetch_result"),
            stream_cancel: symbol!("chdb_stream_cancel_query"),
            destroy_result: symbol!("chdb_destroy_query_result"),
            stream_insert: symbol!("chdb_stream_insert_with_params_n"),
            append: symbol!("chdb_stream_append"),
            done: symbol!("chdb_stream_done"),
            cancel_insert: symbol!("chdb_stream_cancel_insert"),
            insert_error: symbol!("chdb_stream_insert_error"),
            destroy_insert: symbol!("chdb_destroy_insert_stream"),
            buffer: symbol!("chdb_result_buffer"),
            length: symbol!("chdb_result_length"),
            rows_read: symbol!("chdb_result_rows_read"),
            storage_rows_read: symbol!("chdb_result_storage_rows_read"),
            storage_bytes_read: symbol!("chdb_result_storage_bytes_read"),
            rows_written: symbol!("chdb_result_rows_written"),
            bytes_written: symbol!("chdb_result_bytes_written"),
            bytes_read: symbol!("chdb_result_bytes_read"),
            error: symbol!("chdb_result_error"),
            classify: symbol!("chdb_classify_query_n"),
            set_signal_handlers_enabled: symbol!("chdb_set_signal_handlers_enabled"),
            shutdown: symbol!("chdb_shutdown"),
            _mapping: std::mem::ManuallyDrop::new(mapping),
        };
        // SAFETY: called before the first connection, as chdb.h asks.
        unsafe { (library.set_signal_handlers_enabled)(0) };
        Ok(Arc::new(library))
    }

    /// Opens a connection; the first one starts the engine on its `--path`. `None`: the engine refused, and has
    /// written why to standard error.
    pub fn connect(self: &Arc<Self>, arguments: &[CString]) -> Option<Connection> {
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        // SAFETY: argc and argv describe `arguments`, which outlive the call; the engine copies them.
        let slot = unsafe { (self.connect)(pointers.len() as c_int, pointers.as_mut_ptr()) };
        if slot.is_null() {
            return None;
        }
        // SAFETY: a non-null slot points to a connection handle until `chdb_close_conn`.
        let handle = unsafe { *slot };
        Some(Connection { library: Arc::clone(self), slot, handle })
    }

    /// Joins the engine's threads. False when a connection is still open, and also when every one is closed but the
    /// library's process-wide pools still have idle workers, as they have after any query that used them.
    pub fn shutdown(&self) -> bool {
        // SAFETY: refuses by itself while a connection is open.
        unsafe { (self.shutdown)() == 0 }
    }
}

/// A connection: a session of its own, one statement at a time.
pub struct Connection {
    library: Arc<Library>,
    slot: *mut Handle,
    handle: Handle,
}

// SAFETY: chdb.h asks only that calls on one connection be serialised; it is not bound to a thread.
unsafe impl Send for Connection {}

/// Names and values of `{name:Type}` placeholders.
pub type Params = [(String, String)];

/// The parallel arrays in which the C API takes parameters.
struct ParamArrays<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    borrowed: PhantomData<&'a Params>,
}

impl<'a> ParamArrays<'a> {
    fn new(params: &'a Params) -> Self {
        Self {
            names: params.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: params.iter().map(|(name, _)| name.len()).collect(),
            values: params.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: params.iter().map(|(_, value)| value.len()).collect(),
            borrowed: PhantomData,
        }
    }
}

impl Connection {
    fn call(&self, function: QueryWithParams, sql: &[u8], format: &str, params: &Params) -> Handle {
        let arrays = ParamArrays::new(params);
        // SAFETY: every pointer goes with its length and outlives the call; the handle is open.
        unsafe {
            function(
                self.handle,
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                arrays.names.as_ptr(),
                arrays.name_lengths.as_ptr(),
                arrays.values.as_ptr(),
                arrays.value_lengths.as_ptr(),
                params.len(),
            )
        }
    }

    fn checked(&self, handle: Handle) -> Result<QueryResult, String> {
        if handle.is_null() {
            return Err("the engine gave no result".to_owned());
        }
        let result = QueryResult { library: Arc::clone(&self.library), handle };
        match result.error() {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }

    /// Runs a statement to its end. The error is ClickHouse's exception text.
    pub fn query(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<QueryResult, String> {
        let handle = self.call(self.library.query, sql, format, params);
        self.checked(handle)
    }

    /// Starts a query whose result is fetched block by block.
    pub fn stream_query(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<QueryStream<'_>, String> {
        let handle = self.call(self.library.stream_query, sql, format, params);
        let stream = self.checked(handle)?;
        Ok(QueryStream { connection: self, stream, ended: false })
    }

    /// Starts an insert (a statement without `FORMAT` and data) whose data are appended in `format`.
    pub fn stream_insert(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<InsertStream<'_>, String> {
        let handle = self.call(self.library.stream_insert, sql, format, params);
        if handle.is_null() {
            return Err("the engine gave no insert stream".to_owned());
        }
        let stream = InsertStream { connection: self, handle };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// What a text holds: how many statements, and what the strongest of them does. Nothing is run.
    pub fn classify(&mut self, sql: &[u8]) -> (u32, StatementClass) {
        let mut analysis = Analysis { struct_size: size_of::<Analysis>() as u32, ..Analysis::default() };
        // SAFETY: `struct_size` says how much may be written; a null target database is allowed.
        let state = unsafe {
            (self.library.classify)(
                self.handle,
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        let class = match analysis.query_class {
            0 => StatementClass::ReadOnly,
            1 | 2 => StatementClass::Mutating,
            3 => StatementClass::Control,
            _ => StatementClass::Unknown,
        };
        if state == 0 { (analysis.statement_count, class) } else { (0, StatementClass::Unknown) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `connect`, closed once; streams borrow the connection, so none is left.
        unsafe { (self.library.close)(self.slot) };
    }
}

/// A finished statement's output, or one block of a stream's.
pub struct QueryResult {
    library: Arc<Library>,
    handle: Handle,
}

// SAFETY: a result is a plain buffer of its own that no other handle refers to.
unsafe impl Send for QueryResult {}
// SAFETY: shared access only reads it.
unsafe impl Sync for QueryResult {}

/// What a statement read and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub read_rows: u64,
    pub read_bytes: u64,
    pub written_rows: u64,
    pub written_bytes: u64,
    pub result_rows: u64,
    pub result_bytes: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
    }
}

impl QueryResult {
    fn error(&self) -> Option<String> {
        // SAFETY: the handle is live; the text belongs to it and is copied at once.
        unsafe { text((self.library.error)(self.handle)) }
    }

    pub fn counts(&self) -> Counts {
        // SAFETY: plain getters on a live handle.
        unsafe {
            Counts {
                read_rows: (self.library.storage_rows_read)(self.handle),
                read_bytes: (self.library.storage_bytes_read)(self.handle),
                written_rows: (self.library.rows_written)(self.handle),
                written_bytes: (self.library.bytes_written)(self.handle),
                result_rows: (self.library.rows_read)(self.handle),
                result_bytes: (self.library.bytes_read)(self.handle),
            }
        }
    }
}

impl AsRef<[u8]> for QueryResult {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a live handle's buffer holds `length` bytes until the handle is destroyed.
        unsafe {
            let buffer = (self.library.buffer)(self.handle);
            let length = (self.library.length)(self.handle);
            if buffer.is_null() || length == 0 {
                return &[];
            }
            slice::from_raw_parts(buffer.cast(), length)
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: destroyed once, by its only owner.
        unsafe { (self.library.destroy_result)(self.handle) };
    }
}

/// A running query. Dropping it before its end cancels the query.
pub struct QueryStream<'a> {
    connection: &'a mut Connection,
    stream: QueryResult,
    ended: bool,
}

impl QueryStream<'_> {
    /// The next block in the query's format; `None` at the end. The error is ClickHouse's exception text.
    pub fn next(&mut self) -> Result<Option<QueryResult>, String> {
        // SAFETY: connection and stream are live, and `&mut self` serialises the calls.
        let handle =
            unsafe { (self.connection.library.stream_fetch)(self.connection.handle, self.stream.handle) };
        let block = self.connection.checked(handle).inspect_err(|_| self.ended = true)?;
        if block.as_ref().is_empty() {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(block))
    }
}

impl Drop for QueryStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: connection and stream are live; no fetch is under way.
            unsafe { (self.connection.library.stream_cancel)(self.connection.handle, self.stream.handle) };
        }
    }
}

/// A running insert. Dropping it without `finish` cancels the insert.
pub struct InsertStream<'a> {
    connection: &'a mut Connection,
    handle: Handle,
}

impl InsertStream<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: the handle is live; the text belongs to it and is copied at once.
        unsafe { text((self.connection.library.insert_error)(self.handle)) }
    }

    /// Hands over some bytes of the data; blocks while the engine is behind. False when the insert has failed
    /// already: `finish` says why.
    pub fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: the engine copies the bytes before it returns.
        unsafe { (self.connection.library.append)(self.handle, data.as_ptr().cast(), data.len()) == 0 }
    }

    /// Ends the data and waits until the engine has stored them. The error is ClickHouse's exception text.
    pub fn finish(self) -> Result<Counts, String> {
        // SAFETY: called once, as it takes the stream; the result is owned by `checked`.
        let handle = unsafe { (self.connection.library.done)(self.handle) };
        self.connection.checked(handle).map(|result| result.counts())
    }

    /// Gives the insert up without storing what is not yet stored.
    pub fn cancel(self) {
        // SAFETY: the handle is live and not finished.
        unsafe { (self.connection.library.cancel_insert)(self.handle) };
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: every insert handle is destroyed exactly once; chdb.h cancels an unfinished one here.
        unsafe { (self.connection.library.destroy_insert)(self.handle) };
    }
}

/// # Safety
/// `pointer` is null or a NUL-terminated string that lives for the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}
