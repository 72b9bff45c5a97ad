'use strict';
// Searches the definitions that stand in the page. Only matches in sight are drawn, so thousands cost nothing.
(() => {
  const CHUNK = 60;
  const held = JSON.parse(document.getElementById('definitions').textContent);
  const form = document.getElementById('filters');
  const list = document.getElementById('entries');
  const more = document.getElementById('more');
  const found = document.getElementById('found');

  const textOf = (value) => (value && typeof value === 'object' ? JSON.stringify(value) : String(value ?? ''));
  const entry = (kind, name, fields, computed) => ({
    kind, name, fields, computed,
    source: fields.data_source || (fields.internal_events ? 'internal event' : 'Snowplow event'),
    status: fields.status || 'active',
    frame: kind === 'metric' ? textOf(fields.time_frame) : '',
    category: fields.data_category || '',
    text: [name, fields.description, fields.product_group, textOf(fields.counters), textOf(fields.metrics),
      textOf(fields.events), textOf(fields.additional_properties), fields.file_path].join('\n').toLowerCase(),
  });
  const entries = [
    ...held.events.map((fields) => entry('event', fields.action, fields, fields.counted)),
    ...held.metrics.map((fields) => entry('metric', fields.key_path, fields, fields.computed)),
  ];

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const offer = (name, values) => {
    const select = form.elements[name];
    select.append(new Option('any', ''));
    for (const value of values) select.append(new Option(value, value));
  };
  const values = (name) => [...new Set(entries.map((each) => each[name]))].filter(Boolean).sort();
  offer('kind', ['event', 'metric']);
  offer('source', values('source'));
  offer('status', values('status'));
  offer('frame', values('frame'));
  offer('category', values('category'));
  offer('computed', ['yes', 'no']);

  const HIDDEN = new Set(['action', 'key_path', 'description']);
  const LISTED = new Set(['metrics', 'counters', 'tiers', 'identifiers', 'product_categories', 'performance_indicator_type']);

  const describe = (box, each) => {
    const fields = element('dl');
    for (const [name, value] of Object.entries(each.fields)) {
      const empty = value === null || value === '' || (Array.isArray(value) && value.length === 0);
      if (HIDDEN.has(name) || empty) continue;
      fields.append(element('dt', '', name));
      const shown = element('dd');
      if (name === 'metrics') {
        for (const metric of value) {
          const link = element('button', '', metric);
          link.type = 'button';
          link.addEventListener('click', () => search(metric));
          shown.append(link);
        }
      } else if (typeof value === 'string' && /^https?:\/\//.test(value)) {
        const link = element('a', '', value);
        link.href = value;
        link.rel = 'noreferrer';
        shown.append(link);
      } else if (LISTED.has(name) && Array.isArray(value)) {
        shown.textContent = value.join(name === 'counters' ? '\n' : ', ');
      } else {
        shown.textContent = typeof value === 'object' ? JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ') : String(value);
      }
      fields.append(shown);
    }
    box.append(fields);
  };

  const draw = (each) => {
    const box = element('details');
    const line = element('summary');
    const marks = element('span', 'marks');
    const mark = (text, className = '') => text && marks.append(element('span', `mark ${className}`, text));
    mark(each.kind, each.kind);
    mark(each.source);
    mark(each.frame);
    mark(each.category);
    if (each.status !== 'active') mark(each.status, each.status);
    const verb = each.kind === 'event' ? 'counted' : 'computed';
    if (each.status !== 'removed') mark(each.computed ? verb : `not ${verb}`, each.computed ? 'computed' : 'missing');
    line.append(element('code', '', each.name), marks, element('span', 'about', each.fields.description));
    box.append(line);
    box.addEventListener('toggle', () => box.open && box.childElementCount === 1 && describe(box, each));
    return box;
  };

  let matches = [];
  let drawn = 0;
  const drawMore = () => {
    const next = matches.slice(drawn, drawn + CHUNK);
    drawn += next.length;
    list.append(...next.map(draw));
    more.hidden = drawn >= matches.length;
  };

  const chosen = () => Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ''));
  const show = () => {
    const { q = '', computed, ...exact } = chosen();
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const fixed = Object.entries(exact);
    matches = entries.filter((each) =>
      fixed.every(([name, value]) => each[name] === value) &&
      (!computed || each.computed === (computed === 'yes')) &&
      words.every((word) => each.text.includes(word)));
    // Whose name has all the words comes before whose description or file has them.
    const named = (each) => words.every((word) => each.name.includes(word));
    matches = [...matches.filter(named), ...matches.filter((each) => !named(each))];
    found.textContent = `${matches.length} of ${entries.length} definitions`;
    list.replaceChildren();
    drawn = 0;
    drawMore();
  };

  // The filters stand in the address, so that a search can be passed on.
  const keep = () => history.replaceState(null, '', `#${new URLSearchParams(chosen())}`);
  const restore = () => {
    form.reset();
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (form.elements[name]) form.elements[name].value = value;
    }
    show();
  };
  const search = (text) => {
    form.reset();
    form.elements.q.value = text;
    keep();
    show();
    scrollTo(0, 0);
  };

  form.addEventListener('input', () => { keep(); show(); });
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(() => { keep(); show(); }));
  addEventListener('hashchange', restore);
  more.addEventListener('click', drawMore);
  new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) drawMore(); }, { rootMargin: '600px' })
    .observe(more);
  restore();
})();
