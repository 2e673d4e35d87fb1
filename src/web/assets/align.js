// The longest common subsequence of two lists, by Hirschberg's algorithm: memory grows with the lists, not with their product.

/** Pairs of positions, in order; -1 where the other list has nothing alike. @param {string[]} left @param {string[]} right @returns {[number, number][]} */
export function align(left, right) {
	const names = new Map();
	const [a, b] = [left, right].map(list =>
		Int32Array.from(list, x => names.get(x) ?? (names.set(x, names.size), names.size - 1)),
	);
	/** @type {[number, number][]} */
	const pairs = [];

	/** How long it is with each beginning of b's part; with each end if `back`. */
	function lengths(a0, a1, b0, b1, back) {
		let row = new Int32Array(b1 - b0 + 1);
		let next = row.slice();
		for (let i = 0; i < a1 - a0; i++) {
			const x = a[back ? a1 - 1 - i : a0 + i];
			for (let j = 0; j < b1 - b0; j++)
				next[j + 1] = x === b[back ? b1 - 1 - j : b0 + j] ? row[j] + 1 : Math.max(row[j + 1], next[j]);
			[row, next] = [next, row];
		}
		return row;
	}
	function solve(a0, a1, b0, b1) {
		let same = 0;
		while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) pairs.push([a0++, b0++]);
		while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) {
			a1--;
			b1--;
			same++;
		}
		if (a1 - a0 < 2 || b0 === b1) {
			const at = a0 < a1 ? b.subarray(b0, b1).indexOf(a[a0]) : -1;
			if (at < 0) for (let i = a0; i < a1; i++) pairs.push([i, -1]);
			for (let j = b0; j < b1; j++) pairs.push([at === j - b0 ? a0 : -1, j]);
		} else {
			const mid = (a0 + a1) >> 1;
			const front = lengths(a0, mid, b0, b1, false);
			const back = lengths(mid, a1, b0, b1, true).reverse();
			let best = 0;
			front.forEach((n, j) => {
				if (n + back[j] > front[best] + back[best]) best = j;
			});
			solve(a0, mid, b0, b0 + best);
			solve(mid, a1, b0 + best, b1);
		}
		for (let i = 0; i < same; i++) pairs.push([a1 + i, b1 + i]);
	}
	solve(0, a.length, 0, b.length);
	return pairs;
}
