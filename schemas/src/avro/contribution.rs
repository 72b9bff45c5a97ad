//! The contribution's Avro form, field by field in the schema's order.

use std::str::FromStr;

use super::binary::{Reader, put_bool, put_long, put_option, put_str};
use super::schema::{self, Versions};
use super::{CodecError, Record};
use crate::contribution::{Contribution, Note, PushData, WikiPage};

impl Record<'_> for Contribution {
    fn versions() -> &'static Versions {
        &schema::CONTRIBUTION
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.event_id.as_bytes());
        put_long(out, self.id);
        put_str(out, self.action.as_str());
        put_option(out, self.target_type, |out, target_type| put_str(out, target_type.as_str()));
        put_option(out, self.target_id, put_long);
        put_option(out, self.target_iid, put_long);
        put_optional_str(out, self.target_title.as_ref());
        put_option(out, self.project_id, put_long);
        put_long(out, self.author_id);
        put_long(out, self.created_at);
        put_long(out, self.received_at);
        put_optional_str(out, self.imported_from.as_ref());
        put_bool(out, self.confidential);
        put_option(out, self.note.as_ref(), put_note);
        put_option(out, self.push_data.as_ref(), put_push_data);
        put_option(out, self.wiki_page.as_ref(), put_wiki_page);
        put_bool(out, self.client_event_id);
        put_option(out, self.target_author_id, put_long);
        put_longs(out, &self.assignee_ids);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Contribution {
            event_id: reader.uuid()?,
            id: reader.long()?,
            action: word(reader)?,
            target_type: reader.option(word)?,
            target_id: reader.option(Reader::long)?,
            target_iid: reader.option(Reader::long)?,
            target_title: reader.option(Reader::string)?,
            project_id: reader.option(Reader::long)?,
            author_id: reader.long()?,
            created_at: reader.long()?,
            received_at: reader.long()?,
            imported_from: reader.option(Reader::string)?,
            confidential: reader.bool()?,
            note: reader.option(read_note)?,
            push_data: reader.option(read_push_data)?,
            wiki_page: reader.option(read_wiki_page)?,
            client_event_id: reader.bool()?,
            target_author_id: reader.option(Reader::long)?,
            assignee_ids: read_longs(reader)?,
        })
    }

    fn read_owned(body: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut Reader::new(body))
    }
}

fn put_optional_str(out: &mut Vec<u8>, text: Option<&String>) {
    put_option(out, text, |out, text| put_str(out, text));
}

/// An array: one block of all items, and the empty block that ends it.
fn put_longs(out: &mut Vec<u8>, longs: &[i64]) {
    if !longs.is_empty() {
        put_long(out, longs.len() as i64);
        for long in longs {
            put_long(out, *long);
        }
    }
    put_long(out, 0);
}

/// Grows with what is there, not with what a count says.
fn read_longs(reader: &mut Reader<'_>) -> Result<Vec<i64>, CodecError> {
    let mut longs = Vec::new();
    loop {
        match reader.block()? {
            0 => return Ok(longs),
            count => {
                for _ in 0..count {
                    longs.push(reader.long()?);
                }
            }
        }
    }
}

fn put_note(out: &mut Vec<u8>, note: &Note) {
    put_long(out, note.id);
    put_optional_str(out, note.kind.as_ref());
    put_str(out, &note.body);
    put_optional_str(out, note.attachment.as_ref());
    put_long(out, note.created_at);
    put_long(out, note.updated_at);
    put_bool(out, note.system);
    put_option(out, note.noteable_id, put_long);
    put_optional_str(out, note.noteable_type.as_ref());
    put_option(out, note.noteable_iid, put_long);
    put_bool(out, note.resolvable);
    put_bool(out, note.confidential);
    put_bool(out, note.internal);
    put_optional_str(out, note.commands_changes.as_ref());
}

fn read_note(reader: &mut Reader<'_>) -> Result<Note, CodecError> {
    Ok(Note {
        id: reader.long()?,
        kind: reader.option(Reader::string)?,
        body: reader.string()?,
        attachment: reader.option(Reader::string)?,
        created_at: reader.long()?,
        updated_at: reader.long()?,
        system: reader.bool()?,
        noteable_id: reader.option(Reader::long)?,
        noteable_type: reader.option(Reader::string)?,
        noteable_iid: reader.option(Reader::long)?,
        resolvable: reader.bool()?,
        confidential: reader.bool()?,
        internal: reader.bool()?,
        commands_changes: reader.option(Reader::string)?,
    })
}

fn put_push_data(out: &mut Vec<u8>, push: &PushData) {
    put_long(out, push.commit_count);
    put_str(out, push.action.as_str());
    put_str(out, push.ref_type.as_str());
    put_optional_str(out, push.commit_from.as_ref());
    put_optional_str(out, push.commit_to.as_ref());
    put_optional_str(out, push.ref_name.as_ref());
    put_optional_str(out, push.commit_title.as_ref());
    put_option(out, push.ref_count, put_long);
}

fn read_push_data(reader: &mut Reader<'_>) -> Result<PushData, CodecError> {
    Ok(PushData {
        commit_count: reader.long()?,
        action: word(reader)?,
        ref_type: word(reader)?,
        commit_from: reader.option(Reader::string)?,
        commit_to: reader.option(Reader::string)?,
        ref_name: reader.option(Reader::string)?,
        commit_title: reader.option(Reader::string)?,
        ref_count: reader.option(Reader::long)?,
    })
}

fn put_wiki_page(out: &mut Vec<u8>, page: &WikiPage) {
    put_str(out, &page.format);
    put_str(out, &page.slug);
    put_str(out, &page.title);
    put_long(out, page.wiki_page_meta_id);
}

fn read_wiki_page(reader: &mut Reader<'_>) -> Result<WikiPage, CodecError> {
    Ok(WikiPage {
        format: reader.string()?,
        slug: reader.string()?,
        title: reader.string()?,
        wiki_page_meta_id: reader.long()?,
    })
}

/// Reads a word out of a closed list.
fn word<T: FromStr>(reader: &mut Reader<'_>) -> Result<T, CodecError> {
    reader.str()?.parse().map_err(|_| CodecError::Malformed("a word that is not in its list"))
}
