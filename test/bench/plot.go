package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

var colours = map[string]string{"ListPods": "#0b6e4f", "raw Table": "#8fb8a8", "kubectl": "#3066be", "Go clientset": "#c8553d", "Python": "#e0a458"}

// plot draws bars on a logarithmic scale, a group for each number of pods.
func plot(title string, sizes map[int]clients, value func(sample) float64) []byte {
	const width, height, left, bottom, top = 760, 380, 60, 60, 50
	least, most := math.Inf(1), 0.0
	for _, c := range sizes {
		for _, f := range c {
			least, most = min(least, value(f.median)), max(most, value(f.median))
		}
	}
	low, high := math.Floor(math.Log10(max(least, 1e-4))), math.Ceil(math.Log10(max(most, 1e-3)))
	y := func(v float64) float64 {
		return top + (height-top-bottom)*(1-(math.Log10(max(v, 1e-4))-low)/(high-low))
	}
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	w(`<rect width="%d" height="%d" fill="white"/><text x="%d" y="20" font-size="15">%s</text>`, width, height, left, title)
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		w(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`, left, width-10, y(v), y(v), left-6, y(v)+4, v)
	}
	group := float64(width-left-20) / float64(len(sizes))
	for i, n := range slices.Sorted(maps.Keys(sizes)) {
		x := float64(left) + group*float64(i) + 15
		w(`<text x="%.1f" y="%d">%d pods</text>`, x, height-bottom+18, n)
		for j, name := range order {
			f, ok := sizes[n][name]
			if !ok {
				continue
			}
			s := f.median
			at := x + float64(j)*(group-30)/float64(len(order))
			w(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s: %g</title></rect>`, at, y(value(s)), (group-30)/float64(len(order))-3, float64(height-bottom)-y(value(s)), colours[name], name, value(s))
			w(`<text x="%.1f" y="%.1f" font-size="10">%.3g</text>`, at, y(value(s))-3, value(s))
		}
	}
	for j, name := range order {
		w(`<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`, left+j*130, height-24, colours[name], left+j*130+14, height-15, name)
	}
	w(`</svg>`)
	return []byte(b.String())
}
