// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
// A flame graph on a canvas: callers above what they call. Only boxes that can be seen are laid out and drawn, so the
// number of stacks does not matter to a redraw.
"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const columns = await unpack(data.columns, $("numbers").textContent);
  const { nodes, threads, missing, functions } = columns;
  const counts = data.profiles.map((_, which) => columns[`counts${which}`]);
  const [names, modules, identities, sources] = data.frames.map((column) => column.map((at) => data.texts[at]));
  const nameless = new Set(data.nameless);
  const compares = counts.length === 2;
  const ROW = 20, LEAST = 0.6, PAD = 4, LISTED = 200;
  const ABOVE = 60, BELOW = 300, TALLEST = 32767;  // rows, rows, and pixels of a canvas, of which browsers draw no more
  const canvas = $("flame"), pen = canvas.getContext("2d");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // ---------------------------------------------------------------------------------------------- the tree

  // Columns of numbers, from text in base 64: compressed, each from a multiple of 8 bytes on.
  async function unpack(layout, text) {
    const packed = atob(text), bytes = new Uint8Array(packed.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = packed.charCodeAt(at);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const numbers = await new Response(stream).arrayBuffer();
    const kinds = { B: Uint8Array, H: Uint16Array, I: Uint32Array, d: Float64Array }, found = {};
    let at = 0;
    for (const [name, [kind, count]] of Object.entries(layout)) {
      found[name] = new kinds[kind](numbers, at, count);
      at += Math.ceil(found[name].byteLength / 8) * 8;
    }
    return found;
  }

  // The parent of each node. A node stands after its parent, and so do all nodes below it before the next.
  const parents = new Int32Array(functions.length + 1), functionOf = new Int32Array(functions.length + 1);
  const depths = columns.depths, last = [0];
  functionOf.set(functions, 1);
  for (let at = 0; at < depths.length; at++) {
    parents[at + 1] = last[depths[at] - 1];
    last[depths[at]] = at + 1;
  }

  // What is drawn: the tree of the data, below one node for each group if stacks are grouped. Node 0 is the whole.
  // A group has the number -1-group in place of a function.
  let tree, zoomed, focused, matches = null, boxes = [];

  // Of each: the names of the groups, and the group of each count.
  const GROUPS = {
    file: () => {
      const files = [...new Set(["", ...modules])], numbers = new Map(files.map((file, at) => [file, at]));
      const fileOf = Uint32Array.from(modules, (module) => numbers.get(module));
      return [files.map((file) => file || "no file"), nodes.map((node) => node ? fileOf[functionOf[node]] : 0)];
    },
    thread: () => [data.threads.map((name) => name || "unknown thread"), threads],
    missing: () => [data.missing.map((text) => text || "nothing is missing"), missing],
  };

  function build(kind) {
    const whole = { parents, functions: functionOf, places: nodes, groups: [] };
    const made = kind in GROUPS ? copies(...GROUPS[kind]()) : whole;
    made.own = counts.map((column) => {
      const sums = new Float64Array(made.parents.length);
      for (let at = 0; at < nodes.length; at++) sums[made.places[at]] += column[at];
      return sums;
    });
    return layOut(made);
  }

  const depthOf = (node) => node ? depths[node - 1] : 0;

  // Sums of those before each number, from `first` on.
  function ends(numbers, first) {
    for (let at = 0, sum = first; at < numbers.length; at++) [numbers[at], sum] = [sum, sum + numbers[at]];
    return numbers;
  }

  // Goes through the counts in the order of their nodes, and so through the nodes from the first to the last. path: the
  // nodes of a count's stack, by depth. visit(count, group, from, depth, path): the nodes of depths `from` to `depth`
  // are those that no count of this group had before. rows: where in `before` each group has its last stack.
  function walk(groupOf, rows, visit) {
    const path = new Int32Array(last.length), before = new Int32Array(rows[rows.length - 1]).fill(-1);
    for (let at = 0, node = 0; at < nodes.length; at++) {
      for (; node < nodes[at]; node++) path[depths[node]] = node + 1;
      const group = groupOf[at], row = rows[group], depth = depthOf(node);
      let from = depth + 1;
      while (from && before[row + from - 1] !== path[from - 1]) before[row + --from] = path[from];
      visit(at, group, from, depth, path);
    }
  }

  // A copy of the tree for each group, of those nodes that its counts have, one after the other. places: the node of
  // each count.
  function copies(groups, groupOf) {
    const rows = new Uint32Array(groups.length + 1), next = new Uint32Array(groups.length + 1);
    for (let at = 0; at < nodes.length; at++) rows[groupOf[at]] = Math.max(rows[groupOf[at]], depthOf(nodes[at]) + 1);
    ends(rows, 0);
    walk(groupOf, rows, (_, group, from, depth) => { next[group] += depth + 1 - from; });
    ends(next, 1);
    const places = new Uint32Array(nodes.length), drawn = new Int32Array(rows[groups.length]);
    const above = new Int32Array(next[groups.length]), its = new Int32Array(above.length);
    walk(groupOf, rows, (count, group, from, depth, path) => {
      const row = rows[group];
      for (let at = from; at <= depth; at++) {
        const node = drawn[row + at] = next[group]++;
        above[node] = at ? drawn[row + at - 1] : 0;
        its[node] = at ? functionOf[path[at]] : -1 - group;
      }
      places[count] = drawn[row + depth];
    });
    return { parents: above, functions: its, places, groups };
  }

  // Sums, and how many nodes a node is with all below it: those stand right after it, before the next one beside it.
  function layOut(made) {
    const count = made.parents.length, spans = new Int32Array(count).fill(1);
    made.totals = made.own.map((own) => sumUp(made.parents, new Float64Array(own)));
    for (let at = count - 1; at > 0; at--) spans[made.parents[at]] += spans[at];
    made.spans = spans;
    made.wholes = made.totals.map((totals) => totals[0] || 1);
    // Of two profiles the wider share is the width, so that neither what grew nor what went is hidden.
    made.size = made.totals[0];
    if (compares) {
      made.size = new Float64Array(count);
      const [one, other] = made.totals, [whole, otherWhole] = made.wholes;
      for (let at = 0; at < count; at++) made.size[at] = Math.max(one[at] / whole, other[at] / otherWhole);
    }
    made.below = new Map();
    return made;
  }

  function sumUp(parents, totals) {
    for (let at = totals.length - 1; at > 0; at--) totals[parents[at]] += totals[at];
    return totals;
  }

  // The children of a node, the largest first.
  function children(at) {
    let below = tree.below.get(at);
    if (!below) {
      below = [];
      for (let next = at + 1; next < at + tree.spans[at]; next += tree.spans[next]) below.push(next);
      below.sort((a, b) => tree.size[b] - tree.size[a] || a - b);
      tree.below.set(at, below);
    }
    return below;
  }

  const nameOf = (at) => {
    if (!at) return "all";
    const its = tree.functions[at];
    return its < 0 ? tree.groups[-1 - its] : names[its];
  };
  const column = (values, at) => at && tree.functions[at] >= 0 ? values[tree.functions[at]] : "";

  // ---------------------------------------------------------------------------------------------- drawing

  function place() {
    const width = canvas.clientWidth;
    const ancestors = [];
    for (let at = zoomed; at && ancestors.length < ABOVE; at = tree.parents[at]) ancestors.push(tree.parents[at]);
    boxes = ancestors.reverse().map((at, row) => ({ at, x: 0, width, row }));
    const open = [{ at: zoomed, x: 0, width, row: boxes.length }], lowest = boxes.length + BELOW;
    while (open.length) {
      const box = open.pop();
      boxes.push(box);
      if (box.row >= lowest) continue;
      const below = children(box.at), whole = below.reduce((sum, at) => sum + tree.size[at], 0);
      const room = Math.max(tree.size[box.at], whole) || 1;
      let x = box.x;
      for (const at of below) {
        const its = box.width * tree.size[at] / room;
        if (its < LEAST) break;  // those that follow are no larger
        open.push({ at, x, width: its, row: box.row + 1 });
        x += its;
      }
    }
    return width;
  }

  function hue(text) {
    let hash = 7;
    for (let at = 0; at < text.length; at++) hash = hash * 31 + text.charCodeAt(at) | 0;
    return (hash >>> 0) % 360;
  }

  // How much of the whole a node has more in the second profile than in the first, from -1 to 1.
  const growth = (at) => compares ? tree.totals[1][at] / tree.wholes[1] - tree.totals[0][at] / tree.wholes[0] : 0;

  function colour(at) {
    if (matches && matches[at] === 2) return "#ffd400";
    if (compares) return grown(growth(at));
    const its = tree.functions[at];
    if (!at || its < 0 || nameless.has(its)) return dark.matches ? "#3d4046" : "#dcdcdc";
    const tint = hue(modules[its]);
    return dark.matches ? `hsl(${tint} 34% 27%)` : `hsl(${tint} 52% 80%)`;
  }

  // Red has grown, blue has shrunk; the sign is in the text as well.
  function grown(by) {
    const much = Math.min(1, Math.sqrt(Math.abs(by) * 4));
    if (Math.abs(by) < 5e-4) return dark.matches ? "#3d4046" : "#dcdcdc";
    const light = dark.matches ? 30 - 4 * much : 90 - 20 * much;
    return `hsl(${by > 0 ? 8 : 215} ${25 + 55 * much}% ${light}%)`;
  }

  function draw() {
    const width = place(), rows = boxes.reduce((most, box) => Math.max(most, box.row), 0) + 1;
    const scale = Math.min(devicePixelRatio || 1, TALLEST / (rows * ROW));
    canvas.style.height = `${rows * ROW}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(rows * ROW * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "12px ui-monospace, monospace";
    pen.textBaseline = "middle";
    const letter = pen.measureText("m").width;
    const ink = dark.matches ? "#f2f2f2" : "#141414";
    for (const box of boxes) {
      const marked = matches && matches[box.at] === 2;
      pen.globalAlpha = matches && !matches[box.at] ? 0.35 : 1;
      pen.fillStyle = colour(box.at);
      pen.fillRect(box.x, box.row * ROW, Math.max(box.width - 0.5, LEAST), ROW - 1);
      const letters = Math.floor((box.width - 2 * PAD) / letter);
      if (letters > 1) {
        const text = label(box.at);
        pen.fillStyle = marked ? "#000" : ink;
        const shown = text.length > letters ? text.slice(0, letters - 1) + "…" : text;
        pen.fillText(shown, box.x + PAD, box.row * ROW + ROW / 2);
      }
    }
    pen.globalAlpha = 1;
    outline();
  }

  function label(at) {
    const by = growth(at);
    return Math.abs(by) < 5e-4 ? nameOf(at) : `${nameOf(at)} ${signed(by)}`;
  }

  function outline() {
    const box = boxes.find((each) => each.at === focused);
    if (!box || document.activeElement !== canvas) return;
    pen.strokeStyle = dark.matches ? "#fff" : "#000";
    pen.lineWidth = 2;
    pen.strokeRect(box.x + 1, box.row * ROW + 1, Math.max(box.width - 2, 1), ROW - 3);
  }

  // ---------------------------------------------------------------------------------------------- texts

  const percent = (part) => `${(100 * part).toFixed(part && part < 0.001 ? 3 : 1)}%`;
  const signed = (part) => Math.abs(part) < 5e-6 ? "no change" : `${part > 0 ? "+" : "-"}${percent(Math.abs(part))}`;
  const UNITS = { nanoseconds: 1e-9, microseconds: 1e-6, milliseconds: 1e-3, seconds: 1 };

  function amount(value) {
    const seconds = UNITS[data.unit];
    if (!seconds) return `${value.toLocaleString("en")} ${data.kind}`;
    const time = value * seconds;
    return time >= 1 ? `${time.toFixed(2)} s` : `${(time * 1000).toFixed(1)} ms`;
  }

  function describe(at) {
    const told = [nameOf(at)];
    const of = [column(sources, at), column(modules, at), column(identities, at)].filter((text) => text);
    if (of.length) told.push([...new Set(of)].join(" · "));
    if (!compares) {
      const total = tree.totals[0][at], own = tree.own[0][at];
      told.push(`${amount(total)}, ${percent(total / tree.wholes[0])}; itself ${amount(own)}`);
    } else {
      const each = data.profiles.map((name, which) =>
        `${name}: ${percent(tree.totals[which][at] / tree.wholes[which])} (${amount(tree.totals[which][at])})`);
      told.push(`${each.join("; ")}; ${signed(growth(at))}`);
    }
    return told.join("\n");
  }

  const tell = (at) => { $("details").textContent = describe(at); };

  // ---------------------------------------------------------------------------------------------- searching

  // 2: a function that is meant; 1: one on a stack with such a function; 0: neither.
  function search(text) {
    matches = null;
    $("found").textContent = "";
    if (text) {
      let test;
      const regex = /^\/(.+)\/$/.exec(text);
      try {
        const pattern = regex && new RegExp(regex[1], "i"), low = text.toLowerCase();
        test = (name) => pattern ? pattern.test(name) : name.toLowerCase().includes(low);
      } catch (error) {
        $("found").textContent = `${text} is no regular expression: ${error.message}`;
        draw();
        return;
      }
      mark(names.map((name, at) => test(name) || test(modules[at])), tree.groups.map(test), text);
    }
    draw();
  }

  function mark(meant, meantGroups, text) {
    const count = tree.parents.length;
    matches = new Uint8Array(count);
    const sums = counts.map(() => 0), below = new Uint8Array(count);
    for (let at = 1; at < count; at++) {
      const its = tree.functions[at], up = tree.parents[at];
      const yes = its < 0 ? meantGroups[-1 - its] : meant[its];
      below[at] = below[up] || yes ? 1 : 0;
      if (yes && !below[up]) sums.forEach((_, which) => { sums[which] += tree.totals[which][at]; });
      matches[at] = yes ? 2 : below[at];
    }
    for (let at = count - 1; at > 0; at--) if (matches[at] && !matches[tree.parents[at]]) matches[tree.parents[at]] = 1;
    const shares = sums.map((sum, which) => percent(sum / tree.wholes[which]));
    const what = compares ? data.profiles.map((name, which) => `${shares[which]} of ${name}`).join(", ")
      : `${shares[0]}, ${amount(sums[0])}`;
    $("found").textContent = `${text}: on stacks of ${what}`;
  }

  // ---------------------------------------------------------------------------------------------- acting

  function zoom(at) {
    zoomed = focused = at;
    draw();
    tell(at);
  }

  function focus(at) {
    focused = at;
    if (!boxes.some((box) => box.at === at)) zoomed = at;  // too small to be seen
    draw();
    tell(at);
    const row = boxes.find((box) => box.at === at).row * ROW, top = canvas.getBoundingClientRect().top;
    if (top + row < 0 || top + row + 4 * ROW > innerHeight) scrollBy(0, top + row - innerHeight / 2);
  }

  function group(kind) {
    tree = build(kind);
    zoom(0);
    search($("search").value.trim());
  }

  function boxAt(event) {
    const area = canvas.getBoundingClientRect(), x = event.clientX - area.left;
    const row = Math.floor((event.clientY - area.top) / ROW);
    return boxes.find((box) => box.row === row && x >= box.x && x < box.x + Math.max(box.width, LEAST));
  }

  function neighbour(step) {
    if (!focused) return focused;
    const beside = children(tree.parents[focused]);
    return beside[Math.min(Math.max(beside.indexOf(focused) + step, 0), beside.length - 1)];
  }

  const KEYS = {
    ArrowDown: () => focus(children(focused)[0] ?? focused),
    ArrowUp: () => {
      const up = tree.parents[focused];
      if (zoomed === focused && focused) zoomed = up;
      focus(up);
    },
    ArrowRight: () => focus(neighbour(1)),
    ArrowLeft: () => focus(neighbour(-1)),
    Enter: () => zoom(focused),
    Escape: () => zoom(0),
  };

  canvas.addEventListener("click", (event) => {
    const box = boxAt(event);
    if (box) zoom(box.at);
  });
  canvas.addEventListener("mousemove", (event) => {
    const box = boxAt(event);
    tell(box ? box.at : focused);
  });
  canvas.addEventListener("mouseleave", () => tell(focused));
  canvas.addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select")) return;
    event.preventDefault();
    $("search").focus();
  });
  let pending;
  $("search").addEventListener("input", () => {
    clearTimeout(pending);
    pending = setTimeout(() => search($("search").value.trim()), 120);
  });
  $("group").addEventListener("change", () => group($("group").value));
  $("reset").addEventListener("click", () => { $("search").value = ""; search(""); zoom(0); });
  $("list").addEventListener("toggle", () => { if ($("list").open) list(); });
  dark.addEventListener("change", draw);
  let wide = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth !== wide) {
      wide = canvas.clientWidth;
      draw();
    }
  }).observe(canvas.parentElement);

  // ---------------------------------------------------------------------------------------------- the list

  // The same as a table, for those to whom a picture says nothing: of each function, what is in it itself.
  function list() {
    const body = $("list").querySelector("tbody");
    if (body.children.length) return;
    const own = counts.map((column) => {
      const sums = new Float64Array(names.length);
      column.forEach((count, at) => { if (nodes[at]) sums[functionOf[nodes[at]]] += count; });
      return sums;
    });
    const wholes = counts.map((column) => column.reduce((sum, count) => sum + count, 0) || 1);
    const by = (at) => compares ? Math.abs(own[1][at] / wholes[1] - own[0][at] / wholes[0]) : own[0][at];
    const order = names.map((_, at) => at).filter((at) => own.some((sums) => sums[at]));
    order.sort((a, b) => by(b) - by(a));
    $("list").querySelector("thead").append(row("th", [...data.profiles.map((name) => [compares ? name : data.kind, ""]),
      ...(compares ? [["change", ""]] : [["share", ""]]), ["function", ""], ["file", ""]]));
    for (const at of order.slice(0, LISTED)) {
      const shares = own.map((sums, which) => sums[at] / wholes[which]);
      const figures = compares ? [percent(shares[0]), percent(shares[1]), signed(shares[1] - shares[0])]
        : [own[0][at].toLocaleString("en"), percent(shares[0])];
      body.append(row("td", [...figures.map((text) => [text, "number"]), [names[at], "name"], [modules[at], ""]]));
    }
  }

  function row(kind, cells) {
    const made = document.createElement("tr");
    for (const [text, name] of cells) {
      const cell = made.appendChild(document.createElement(kind));
      cell.textContent = text;
      if (name) cell.className = name;
    }
    return made;
  }

  const bare = (texts) => texts.length < 2 && !texts[0];
  for (const option of $("group").options) {
    option.disabled = option.value === "thread" && bare(data.threads) || option.value === "missing" && bare(data.missing);
  }
  group("none");
})();
