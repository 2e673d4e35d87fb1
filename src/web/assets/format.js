// Numbers and times as people read them. A dash is what is not known.

const two = n => String(n).padStart(2, '0');
/** @template T @param {(v: any) => T} show @returns {(v: any) => T | '–'} */
const known = show => v => (v == null ? '–' : show(v));

/** Milliseconds. @type {(n: number | null | undefined) => string} */
export const ms = known(n => {
	if (n < 0) return `−${ms(-n)}`;
	if (n < 1000) return `${n && n < 1 ? '<1' : Math.round(n)} ms`;
	if (n < 59_950) return `${(n / 1000).toFixed(n < 9950 ? 2 : 1)} s`;
	const s = Math.round(n / 1000);
	return s < 3600
		? `${Math.floor(s / 60)}m ${two(s % 60)}s`
		: s < 86_400
			? `${Math.floor(s / 3600)}h ${two(Math.floor((s % 3600) / 60))}m`
			: `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
});

/** Short: 1.9k, 12M. @type {(n: number | null | undefined) => string} */
export const count = known(n => {
	if (n < 0) return `−${count(-n)}`;
	if (n < 1000) return String(Math.round(n * 100) / 100);
	const power = n < 999_500 ? 1 : n < 999.5e6 ? 2 : 3;
	const v = n / 1000 ** power;
	return (v < 9.95 ? v.toFixed(1) : Math.round(v)) + ' kMG'[power];
});

/** With thin spaces. @type {(n: number | null | undefined) => string} */
export const full = known(n => String(n).replace(/\B(?=(\d{3})+$)/g, '\u2009'));

/** US dollars. @type {(n: number | null | undefined) => string} */
export const usd = known(n =>
	n < 0
		? `−${usd(-n)}`
		: n > 0 && n < 0.0001
			? '<$0.0001'
			: `$${Number(n)
					.toFixed(n && n < 0.1 ? 4 : 2)
					.replace(/\B(?=(\d{3})+\.)/g, ',')}`,
);

/** @type {(n: number) => string} */
export const bytes = n =>
	n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} kB` : `${(n / 1e6).toFixed(1)} MB`;

/** A share from 0 to 1. @type {(n: number | null | undefined) => string} */
export const percent = known(n => `${(n * 100).toFixed(n && n < 0.1 ? 1 : 0)} %`);

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** How long ago, or how far ahead. @type {(at: string | null | undefined) => string} */
export const ago = known(at => {
	const s = (Date.now() - Date.parse(at)) / 1000;
	const n = Math.abs(s);
	const text =
		n < 60
			? `${Math.floor(n)} s`
			: n < 3600
				? `${Math.floor(n / 60)} min`
				: n < 86_400
					? `${Math.floor(n / 3600)} h`
					: `${Math.floor(n / 86_400)} d`;
	return s < 0 ? `in ${text}` : `${text} ago`;
});

/** In the reader's zone. @type {(at: string | null | undefined) => string} */
export const when = known(at => {
	const d = new Date(at);
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
});
