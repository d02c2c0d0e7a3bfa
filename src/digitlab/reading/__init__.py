"""Reading: from a drawing, a photo or a page to numbers, with "no digit here" as an answer."""
