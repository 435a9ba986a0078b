// The page of a trace: what is shown, opened, pinned and filtered. Every text of the case goes through textContent.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const at = (id) => document.getElementById(id);
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const groups = new Map(data.groups.map((group) => [group.id, group]));
  const pinned = new Map();
  let shown, open, chosen = null;

  const start = () => { shown = new Set(data.rank.slice(0, data.first)); open = new Set(); pinned.clear(); };
  const face = (id) => { const group = nodes.get(id).group; return group && !open.has(group) ? group : id; };
  const make = (tag, text, name) => { const one = document.createElement(tag); if (text) one.textContent = text; if (name) one.className = name; return one; };
  const policy = () => at('policy').value;

  // Amounts are decimal texts of smallest units: no number of this language holds them.
  const amount = (units, asset) => {
    const { symbol, decimals } = data.assets[asset];
    const text = units.padStart(decimals + 1, '0');
    const whole = decimals ? text.slice(0, -decimals) : text;
    const part = decimals ? text.slice(-decimals).replace(/0+$/, '').slice(0, 6) : '';
    return `${whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',')}${part ? '.' + part : ''} ${symbol}`;
  };
  const share = (parts) => { const tenths = Math.floor(parts * 1000 / data.whole); return tenths ? `${tenths / 10} %` : parts ? '< 0.1 %' : '0 %'; };
  const title = (id) => groups.has(id) ? groups.get(id).title : nodes.get(id).title;
  const subtitle = (id) => groups.has(id) ? groups.get(id).subtitle : nodes.get(id).subtitle;
  const style = (id) => groups.has(id) ? groups.get(id).style : nodes.get(id).kind;
  const members = (id) => groups.has(id) ? groups.get(id).members : [id];

  const within = (step) => {
    const from = at('from').value ? Date.parse(at('from').value) / 1000 : 0;
    const to = at('to').value ? Date.parse(at('to').value) / 1000 + 86400 : Infinity;
    return step.time >= from && step.time < to;
  };

  const scene = () => {
    const parts = data.parts[policy()], least = Number(at('least').value), lines = new Map(), hidden = new Map();
    for (const link of data.links) {
      const source = face(link.source), target = face(link.target);
      if (source === target || !shown.has(source) || !within(data.steps[link.step])) continue;
      if (!shown.has(target)) { (hidden.get(source) || hidden.set(source, new Set()).get(source)).add(target); continue; }
      const key = `${source}>${target}`;
      const line = lines.get(key) || lines.set(key, { source, target, steps: [], parts: 0, confidence: 100, candidate: false, sums: {} }).get(key);
      const step = data.steps[link.step];
      line.steps.push(link.step); line.parts += parts[link.step];
      line.confidence = Math.min(line.confidence, step.confidence); line.candidate = line.candidate || step.of > 1;
      line.sums[step.asset] = (line.sums[step.asset] || 0n) + BigInt(step.carried[policy()] || '0');
    }
    const kept = [...lines.values()].filter((line) => line.parts >= least);
    const things = least || at('from').value || at('to').value ? new Set(kept.flatMap((line) => [line.source, line.target])) : new Set(shown);
    return { things: [...things], lines: kept, hidden };
  };

  const places = ({ things, lines }) => {
    const layer = new Map(things.map((id) => [id, 0])), into = new Map(things.map((id) => [id, []]));
    for (const line of lines) into.get(line.target).push(line);
    for (let pass = 0; pass < 12; pass += 1) {
      let moved = false;
      for (const line of lines) {
        const next = layer.get(line.source) + 1;
        if (layer.get(line.target) < next && next < things.length && data.order[line.source] <= data.order[line.target]) { layer.set(line.target, next); moved = true; }
      }
      if (!moved) break;
    }
    const rows = [];
    for (const id of things) (rows[layer.get(id)] ||= []).push(id);
    const y = new Map();
    rows.forEach((row) => {
      const mean = (id) => { const seen = into.get(id).map((line) => y.get(line.source)).filter((each) => each !== undefined); return seen.length ? seen.reduce((one, two) => one + two, 0) / seen.length : 0; };
      row.sort((one, two) => mean(one) - mean(two));
      row.forEach((id, index) => y.set(id, (index - (row.length - 1) / 2) * 74));
    });
    return new Map(things.map((id) => [id, pinned.get(id) || { x: layer.get(id) * 250, y: y.get(id) }]));
  };

  const colour = (id, which) => (data.colours[style(id)] || ['#ffffff', '#56645d'])[which];
  const cy = window.cytoscape({
    container: at('picture'), minZoom: 0.05, maxZoom: 4, boxSelectionEnabled: false,
    style: [
      { selector: 'node', style: { shape: 'round-rectangle', width: 152, height: 42, 'background-color': 'data(fill)', 'border-color': 'data(stroke)', 'border-width': 1.5, label: 'data(label)', 'text-wrap': 'wrap', 'text-max-width': 146, 'text-valign': 'center', 'font-size': 11, color: 'data(ink)', 'font-family': 'system-ui, DejaVu Sans, sans-serif' } },
      { selector: 'node[?many]', style: { 'border-style': 'double', 'border-width': 4 } },
      { selector: 'node[?pinned]', style: { 'border-width': 4 } },
      { selector: 'edge', style: { width: 'data(width)', 'line-color': '#7fa392', 'line-opacity': 'data(opacity)', 'target-arrow-color': '#5d8271', 'target-arrow-shape': 'triangle', 'arrow-scale': 0.8, 'curve-style': 'bezier', label: 'data(label)', 'font-size': 9.5, color: '#16231d', 'text-background-color': '#ffffff', 'text-background-opacity': 0.85, 'text-wrap': 'wrap', 'min-zoomed-font-size': 7 } },
      { selector: 'edge[?candidate]', style: { 'line-style': 'dashed', 'line-color': '#a8741a', 'target-arrow-color': '#a8741a' } },
      { selector: ':selected', style: { 'border-color': '#16231d', 'border-width': 3, 'line-color': '#16633f', 'target-arrow-color': '#16633f' } },
    ],
  });

  let last = null;
  const draw = (fit) => {
    const now = scene(), spots = places(now), most = Math.max(1, ...now.lines.map((line) => line.parts));
    last = { ...now, spots };
    const elements = now.things.map((id) => ({
      group: 'nodes', data: { id, label: `${cut(title(id), 24)}\n${cut(more(id, now), 30)}`, fill: colour(id, 0), stroke: colour(id, 1), ink: style(id) === 'mixer' ? '#f4f1e8' : '#16231d', many: groups.has(id), pinned: pinned.has(id) }, position: { ...spots.get(id) },
    }));
    for (const line of now.lines) {
      elements.push({ group: 'edges', data: { id: `${line.source}>${line.target}`, source: line.source, target: line.target, width: Math.max(1, 26 * line.parts / most), opacity: 0.35 + 0.45 * line.confidence / 100, candidate: line.candidate, label: words(line) } });
    }
    cy.batch(() => { cy.elements().remove(); cy.add(elements); });
    if (fit) cy.fit(undefined, 40);
    at('said').textContent = `${now.things.length} of ${nodes.size} addresses and groups, ${now.lines.length} lines, ${data.steps.length} steps`;
    beside();
  };
  const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
  const more = (id, now) => now.hidden.has(id) ? `${subtitle(id)} · +${now.hidden.get(id).size} more` : subtitle(id);
  const words = (line) => {
    const sums = Object.entries(line.sums).map(([asset, units]) => amount(String(units), asset));
    return `${sums[0]}${sums.length > 1 ? ` + ${sums.length - 1} more` : ''}\n${data.steps[line.steps[0]].id}${line.steps.length > 1 ? ` +${line.steps.length - 1}` : ''}`;
  };

  // --- what is chosen

  const beside = () => {
    const place = at('beside'); place.replaceChildren();
    if (chosen && chosen.steps) { lineBeside(place, chosen); return; }
    if (chosen && last.things.includes(chosen)) { thingBeside(place, chosen); return; }
    place.append(make('h2', 'Where the money went'), make('p', data.intro, 'quiet'));
    const list = make('ul');
    for (const id of last.things) {
      const item = make('li'), button = make('button', `${title(id)}: ${subtitle(id)}`);
      button.type = 'button'; button.addEventListener('click', () => choose(id)); item.append(button); list.append(item);
    }
    place.append(make('h3', 'Shown'), list);
  };
  const action = (place, text, key, does) => { const one = make('button', text); one.type = 'button'; one.dataset.key = key; one.addEventListener('click', does); place.append(one); };
  const thingBeside = (place, id) => {
    place.append(make('h2', title(id)), make('p', subtitle(id), 'quiet'));
    const actions = make('div', '', 'actions');
    if (groups.has(id)) action(actions, 'Expand', 'Enter', () => expand(id));
    else if (nodes.get(id).group) action(actions, 'Collapse', 'Enter', () => collapse(nodes.get(id).group));
    if (last.hidden.has(id)) action(actions, `Show ${last.hidden.get(id).size} more`, 'm', () => reveal(id));
    action(actions, pinned.has(id) ? 'Unpin' : 'Pin', 'p', () => pin(id));
    action(actions, 'Hide', 'h', () => { shown.delete(id); chosen = null; draw(false); });
    action(actions, 'Back to the list', 'Escape', () => choose(null));
    place.append(actions);
    for (const each of members(id).slice(0, 60)) {
      const node = nodes.get(each);
      place.append(make('p', node.address, 'address'));
      if (node.label) place.append(make('p', `${node.label} (${node.source}, ${node.sure} of 100)`, 'quiet'));
      for (const end of node.ends) {
        place.append(make('p', `${end.kind}: ${amount(end.lies[policy()] || '0', end.asset)} ${end.detail}`));
      }
    }
    if (members(id).length > 60) place.append(make('p', `and ${members(id).length - 60} more`, 'quiet'));
    const mine = new Set(members(id)), list = data.links.filter((link) => mine.has(link.source) || mine.has(link.target)).slice(0, 80);
    place.append(make('h3', 'Steps'));
    for (const link of list) stepBeside(place, data.steps[link.step]);
  };
  const lineBeside = (place, line) => {
    place.append(make('h2', `${title(line.source)} → ${title(line.target)}`));
    const actions = make('div', '', 'actions'); action(actions, 'Back to the list', 'Escape', () => choose(null)); place.append(actions);
    for (const step of line.steps.slice(0, 200)) stepBeside(place, data.steps[step]);
  };
  const stepBeside = (place, step) => {
    const one = make('div', '', 'step');
    one.append(make('strong', step.id), make('small', ` ${new Date(step.time * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC · hop ${step.hop} · ${step.reason}${step.of > 1 ? `, 1 of ${step.of}` : ''} · ${step.confidence} of 100`));
    one.append(make('p', `${amount(step.units, step.asset)} moved`), make('p', step.why, 'quiet'), make('p', step.transaction, 'address'));
    const table = make('table');
    for (const [name, units] of Object.entries(step.carried)) {
      const row = make('tr'); row.append(make('td', name), make('td', name === 'poison' ? (units === '0' ? 'not reached' : 'reached') : amount(units, step.asset))); table.append(row);
    }
    one.append(table);
    if (step.evidence) one.append(make('p', `evidence ${step.evidence}`, 'quiet'));
    place.append(one);
  };
  const choose = (what) => {
    chosen = what; cy.elements().unselect();
    if (typeof what === 'string') cy.getElementById(what).select();
    beside();
  };
  const expand = (id) => {
    open.add(id);
    const mine = new Set(groups.get(id).members);
    for (const each of groups.get(id).members) shown.add(each);
    for (const link of data.links) if (mine.has(link.source)) shown.add(face(link.target));
    chosen = groups.get(id).members[0]; draw(true);
  };
  const collapse = (id) => { open.delete(id); shown.add(id); for (const each of groups.get(id).members) shown.delete(each); chosen = id; draw(true); };
  const reveal = (id) => { for (const each of last.hidden.get(id)) shown.add(each); draw(true); };
  const pin = (id) => { if (pinned.has(id)) pinned.delete(id); else pinned.set(id, { ...cy.getElementById(id).position() }); draw(false); };

  cy.on('tap', 'node', (event) => choose(event.target.id()));
  cy.on('tap', 'edge', (event) => { const id = event.target.id(); choose(last.lines.find((line) => `${line.source}>${line.target}` === id)); event.target.select(); });
  cy.on('tap', (event) => { if (event.target === cy) choose(null); });
  cy.on('dbltap', 'node', (event) => { const id = event.target.id(); if (groups.has(id)) expand(id); else if (last.hidden.has(id)) reveal(id); });
  cy.on('dragfree', 'node', (event) => { pinned.set(event.target.id(), { ...event.target.position() }); draw(false); });

  const find = () => {
    const text = at('find').value.trim().toLowerCase();
    if (!text) return;
    const step = data.steps.findIndex((each) => each.id.toLowerCase() === text || each.transaction.toLowerCase() === text);
    const link = data.links.find((each) => each.step === step);
    const node = data.nodes.find((each) => each.address.toLowerCase().includes(text) || each.title.toLowerCase().includes(text) || (each.label || '').toLowerCase().includes(text));
    const id = link ? face(link.target) : node ? face(node.id) : null;
    if (!id) { at('said').textContent = 'nothing of that name'; return; }
    shown.add(id); if (link) shown.add(face(link.source));
    draw(false); choose(id); cy.animate({ center: { eles: cy.getElementById(id) }, duration: 150 });
  };

  // --- out

  const save = (name, blob) => { const link = document.createElement('a'); link.href = URL.createObjectURL(blob); link.download = name; link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 5000); };
  const safe = (text) => text.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
  const asSvg = () => {
    const box = cy.elements().boundingBox(), out = [];
    out.push(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box.x1 - 20} ${box.y1 - 20} ${box.w + 40} ${box.h + 40}" width="${box.w + 40}" height="${box.h + 40}" font-family="DejaVu Sans, sans-serif"><rect x="${box.x1 - 20}" y="${box.y1 - 20}" width="${box.w + 40}" height="${box.h + 40}" fill="#ffffff"/>`);
    cy.edges().forEach((edge) => {
      const one = edge.sourceEndpoint(), two = edge.targetEndpoint(), lines = edge.data('label').split('\n');
      out.push(`<line x1="${one.x}" y1="${one.y}" x2="${two.x}" y2="${two.y}" stroke="${edge.data('candidate') ? '#a8741a' : '#7fa392'}" stroke-width="${edge.data('width')}" stroke-opacity="${edge.data('opacity')}"/>`);
      lines.forEach((text, index) => out.push(`<text x="${(one.x + two.x) / 2}" y="${(one.y + two.y) / 2 + 11 * index}" font-size="9.5" text-anchor="middle" fill="#16231d">${safe(text)}</text>`));
    });
    cy.nodes().forEach((node) => {
      const { x, y } = node.position(), lines = node.data('label').split('\n');
      out.push(`<rect x="${x - 76}" y="${y - 21}" width="152" height="42" rx="8" fill="${node.data('fill')}" stroke="${node.data('stroke')}"/>`);
      lines.forEach((text, index) => out.push(`<text x="${x}" y="${y - 3 + 14 * index}" font-size="${index ? 9 : 11}" text-anchor="middle" fill="${node.data('ink')}">${safe(text)}</text>`));
    });
    return `${out.join('\n')}\n</svg>\n`;
  };
  at('svg').addEventListener('click', () => save('trace.svg', new Blob([asSvg()], { type: 'image/svg+xml' })));
  at('png').addEventListener('click', () => save('trace.png', cy.png({ output: 'blob', full: true, scale: 2, maxWidth: 8000, bg: '#ffffff' })));
  at('csv').addEventListener('click', () => save('steps.csv', new Blob([data.csv], { type: 'text/csv' })));

  // --- begin

  for (const name of data.policies) { const one = make('option', name); one.value = name; at('policy').append(one); }
  at('policy').value = data.policy;
  for (const tenths of [0, 1, 10, 50, 100]) { const one = make('option', tenths ? `${tenths / 10} %` : 'everything'); one.value = String(tenths * data.whole / 1000); at('least').append(one); }
  for (const id of ['policy', 'least', 'from', 'to']) at(id).addEventListener('change', () => { chosen = null; draw(true); });
  at('find').addEventListener('keydown', (event) => { if (event.key === 'Enter') find(); });
  at('whole').addEventListener('click', () => cy.fit(undefined, 40));
  at('again').addEventListener('click', () => { start(); chosen = null; for (const id of ['from', 'to', 'find']) at(id).value = ''; at('least').selectedIndex = 0; draw(true); });
  document.addEventListener('keydown', (event) => {
    if (['INPUT', 'SELECT'].includes(document.activeElement.tagName)) return;
    if (event.key === '/') { event.preventDefault(); at('find').focus(); return; }
    if (event.key === '+' || event.key === '-') { cy.zoom({ level: cy.zoom() * (event.key === '+' ? 1.25 : 0.8), renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } }); return; }
    const arrows = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (arrows[event.key] && document.activeElement === document.body) { cy.panBy({ x: arrows[event.key][0], y: arrows[event.key][1] }); return; }
    if (document.activeElement.tagName === 'BUTTON' && event.key === 'Enter') return;
    const button = at('beside').querySelector(`.actions button[data-key="${CSS.escape(event.key)}"]`);
    if (button) { event.preventDefault(); button.click(); }
  });
  start();
  draw(true);
  window.holdfastTrace = { cy, shown: () => [...shown] };
})();
