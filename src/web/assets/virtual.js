// A list of any length: only the rows in sight are in the document.

// Rows above and below the sight that are kept, so that a scroll shows no gap.
const SPARE = 6;

/** @param {VirtualOptions} o @returns {Virtual} */
export function virtual(o) {
	const sizer = document.createElement('div');
	sizer.className = 'sizer';
	sizer.setAttribute('role', 'presentation');
	const el = document.createElement('div');
	el.className = `virtual ${o.class}`;
	el.tabIndex = 0;
	el.setAttribute('role', o.role ?? 'list');
	el.setAttribute('aria-label', o.label);
	el.append(sizer);
	/** @type {Map<number, HTMLElement>} */
	const live = new Map();
	let count = 0;
	let frame = 0;
	let chosen = '';

	// A row that is not in the document must not be named.
	function name() {
		el.setAttribute('aria-activedescendant', document.getElementById(chosen) ? chosen : '');
	}
	function draw() {
		frame = 0;
		const first = Math.max(0, Math.floor(el.scrollTop / o.height) - SPARE);
		const last = Math.min(count, Math.ceil((el.scrollTop + el.clientHeight) / o.height) + SPARE);
		for (const [i, row] of live)
			if (i < first || i >= last) {
				row.remove();
				live.delete(i);
			}
		for (let i = first; i < last; i++) {
			if (live.has(i)) continue;
			const row = o.row(i);
			row.classList.add('vrow');
			row.style.setProperty('top', `${i * o.height}px`);
			// Most rows are not there, so each says which of how many it is.
			row.setAttribute('aria-posinset', String(i + 1));
			row.setAttribute('aria-setsize', String(count));
			live.set(i, row);
			sizer.append(row);
		}
		name();
	}
	const later = () => {
		frame ||= requestAnimationFrame(draw);
	};
	el.addEventListener('scroll', later, { passive: true });
	el.onkeydown = e => {
		if (e.target !== el || e.ctrlKey || e.metaKey || e.altKey || !o.key || o.key(e) === false) return;
		e.preventDefault();
		e.stopPropagation();
	};
	const watcher = new ResizeObserver(() => {
		o.resized?.();
		later();
	});
	watcher.observe(el);
	return {
		el,
		set(n) {
			count = n;
			for (const row of live.values()) row.remove();
			live.clear();
			name();
			sizer.style.setProperty('height', `${n * o.height}px`);
			later();
		},
		choose(id) {
			chosen = id;
			name();
		},
		show(i, middle) {
			const y = i * o.height;
			const room = el.clientHeight - o.height;
			if (middle && (y < el.scrollTop || y > el.scrollTop + room)) el.scrollTop = y - room / 2;
			else el.scrollTop = Math.min(y, Math.max(el.scrollTop, y - room));
		},
		close() {
			watcher.disconnect();
			cancelAnimationFrame(frame);
		},
	};
}
