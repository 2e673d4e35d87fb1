-- Undoes 0024_default_privileges. Nothing to do: rights that were taken back are not given again, because nothing needs
-- them. What authenticated needs, it has from 0012_grants and 0013_bridged_spans.

SELECT 1;
