// Sends the examples from where they stand, filters the menu, and opens what a link leads to.
'use strict';

for (const form of document.querySelectorAll('form[data-path]')) {
  const button = form.querySelector('button');
  button.hidden = false;
  form.addEventListener('submit', async event => {
    event.preventDefault();
    let path = form.dataset.path;
    const query = new URLSearchParams(), headers = {};
    for (const input of form.querySelectorAll('input')) {
      const { name, value } = input;
      if (input.dataset.in === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (value && input.dataset.in === 'query') query.set(name, value);
      else if (value) headers[name] = value;
    }
    const body = form.querySelector('textarea')?.value || undefined;
    if (body) headers['content-type'] = 'application/json';
    const shown = form.querySelector('.answer');
    shown.hidden = false;
    shown.textContent = '…';
    button.disabled = true;
    try {
      const method = form.dataset.method.toUpperCase();
      const answer = await fetch(path + (query.size ? `?${query}` : ''), { method, headers, body });
      const streams = answer.headers.get('content-type')?.startsWith('text/event-stream');
      if (streams) await answer.body.cancel();
      let text = streams ? 'A stream, which does not end: read it with curl -N.' : await answer.text();
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is no JSON, and shown as it is. */ }
      const told = ['location', 'etag', 'retry-after'].filter(name => answer.headers.has(name));
      const lines = told.map(name => `${name}: ${answer.headers.get(name)}\n`).join('');
      shown.textContent = `${answer.status} ${answer.statusText}\n${lines}\n${text}`;
    } catch (error) {
      shown.textContent = String(error);
    }
    button.disabled = false;
  });
}

const filter = document.querySelector('aside input');
if (filter) {
  filter.hidden = false;
  filter.addEventListener('input', () => {
    const wanted = filter.value.toLowerCase();
    for (const item of document.querySelectorAll('aside li')) item.hidden = !item.textContent.toLowerCase().includes(wanted);
  });
}

function open() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
}
addEventListener('hashchange', open);
open();
